"""What the decoder makes of an image before any prompt: done once, and kept for the clicks that follow."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_backend.errors import PromptError
from sam_backend.sam.model import REFINED_SIDE, SIDE, CompiledSam, infer
from sam_backend.sam.types import Embedding


@dataclass(frozen=True, slots=True, eq=False)
class ImageSide:
    """An image, with a mask that is refined or without, as the decoder's prompts want it.

    Attributes:
        tensors: float32, by the names and with the shapes of `model_export.modules.ImageSide`.
    """

    tensors: Mapping[str, NDArray[np.float32]]

    @property
    def nbytes(self) -> int:
        """Bytes that the tensors occupy: 10 MiB for vit_b."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def prepare(model: CompiledSam, embedding: Embedding) -> ImageSide:
    """Prepare an image for prompts.

    Raises:
        ModelError: OpenVINO failed.
    """
    request = model.decoder_requests().image
    infer(request, {"image_embeddings": embedding.features["image_embeddings"]})
    # The request's buffers belong to the next inference of this thread: copy.
    tensors = {name: request.get_tensor(name).data.astype(np.float32) for name in SIDE}
    for tensor in tensors.values():
        tensor.flags.writeable = False
    return ImageSide(tensors)


def refine(model: CompiledSam, side: ImageSide, mask_input: NDArray[np.float32]) -> ImageSide:
    """Prepare an image for prompts that refine a mask.

    Args:
        model: shared by all threads.
        side: the image's.
        mask_input: float32 (1, h, w), low-resolution logits of an earlier answer.

    Returns:
        Memory that the next mask of this thread overwrites.

    Raises:
        PromptError: `mask_input` has another model's size.
        ModelError: OpenVINO failed.
    """
    size = model.info.low_res_size
    if mask_input.shape != (1, *size):
        raise PromptError(f"mask_input has shape {mask_input.shape}, this model's is {(1, *size)}.")
    request = model.decoder_requests().mask
    infer(request, {**side.tensors, "mask_input": mask_input[None]})
    return ImageSide({name: request.get_tensor(refined).data for name, refined in zip(SIDE, REFINED_SIDE, strict=True)})
