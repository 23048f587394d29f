"""Image → embedding."""

import numpy as np

from sam_backend.sam import geometry
from sam_backend.sam.model import CompiledSam, infer
from sam_backend.sam.turns import Request
from sam_backend.sam.types import Embedding, Image


def encode(model: CompiledSam, image: Image, model_version: str, request: Request) -> Embedding:
    """Encode one image.

    Args:
        model: shared by all threads.
        image: the upright image.
        model_version: recorded in the embedding, so that no other model decodes it.
        request: of the model's encoder, the caller's own.

    Raises:
        ModelError: OpenVINO failed.

    Returns:
        `features["image_embeddings"]` is float32 (1, C, h, w).
    """
    canvas, input_size = geometry.resize_and_pad(image.rgb, model.info.image_size)
    infer(request, {"image": canvas, "input_size": np.array(input_size, np.int64)})
    features = request.get_tensor("image_embeddings").data.astype(np.float32)
    features.flags.writeable = False
    return Embedding({"image_embeddings": features}, image.original_size, input_size, model_version)
