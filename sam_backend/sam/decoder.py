"""Embedding and prompt → low-resolution masks.

`image` has been inferred once for all prompts of an image, and `mask` is where one is refined (see `image_side.py`);
then `prompts` finds out all but the pixels, and `upscaling` draws them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_backend.errors import PromptError
from sam_backend.sam import geometry
from sam_backend.sam.image_side import ImageSide, prepare, refine
from sam_backend.sam.model import CompiledSam, infer
from sam_backend.sam.types import Embedding, Prompt

PADDING_LABEL = -1.0
BOX_LABELS = (2.0, 3.0)


@dataclass(frozen=True, slots=True, eq=False)
class LowResMasks:
    """The decoder's answer to one prompt.

    Attributes:
        logits: float32 (4, h, w); mask 0 is the one for unambiguous prompts, 1 to 3 are the alternatives.
        iou_predictions: float32 (4,).
    """

    logits: NDArray[np.float32]
    iou_predictions: NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        """Bytes that they occupy."""
        return self.logits.nbytes + self.iou_predictions.nbytes


def decode(
    model: CompiledSam, embedding: Embedding, prompt: Prompt, image_side: ImageSide | None = None
) -> LowResMasks:
    """Decode one prompt.

    Args:
        model: shared by all threads.
        embedding: the image's.
        prompt: what is asked.
        image_side: of this embedding; prepared here if None.

    Raises:
        PromptError: a coordinate is not finite, there are two boxes, or `mask_input` has another model's size.
        ModelError: OpenVINO failed.
    """
    coords, labels = _as_points(prompt, embedding)
    side = image_side or prepare(model, embedding)
    if prompt.mask_input is not None:
        side = refine(model, side, prompt.mask_input)
    request = model.decoder_requests().decoder
    infer(request, {**side.tensors, "point_coords": coords[None], "point_labels": labels[None]})
    # The request's buffers belong to the next inference of this thread: copy.
    logits = request.get_tensor("low_res_masks").data[0].astype(np.float32)
    logits.flags.writeable = False
    return LowResMasks(logits, request.get_tensor("iou_predictions").data[0].astype(np.float32))


def _as_points(prompt: Prompt, embedding: Embedding) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points, then the box's corners; without a box, the padding point that SAM's prompt encoder expects."""
    if len(prompt.boxes) > 1:
        raise PromptError(f"{len(prompt.boxes)} boxes in one prompt.", "Give one box.")
    corners = prompt.boxes.reshape(-1, 2)
    coords = np.concatenate([prompt.points, corners])
    if not np.isfinite(coords).all():
        raise PromptError("A coordinate is not a finite number.", "Draw the prompt again.")
    scaled = geometry.to_input(coords, embedding.original_size, embedding.input_size)
    if len(corners):
        return scaled, np.array([*prompt.point_labels, *BOX_LABELS], np.float32)
    padding = np.zeros((1, 2), np.float32)
    return np.concatenate([scaled, padding]), np.array([*prompt.point_labels, PADDING_LABEL], np.float32)
