"""Low-resolution masks → the mask that is answered."""

import numpy as np
from numpy.typing import NDArray

from sam_backend.sam import geometry
from sam_backend.sam.decoder import LowResMasks
from sam_backend.sam.folder import ModelInfo
from sam_backend.sam.types import Embedding, Mask, Prompt

STABILITY_OFFSET = 1.0


def is_ambiguous(prompt: Prompt) -> bool:
    """Whether the prompt is one point alone, for which SamPredictor's documentation advises the multimask output."""
    return len(prompt.points) == 1 and len(prompt.boxes) == 0 and prompt.mask_input is None


def choose(answer: LowResMasks, prompt: Prompt) -> int:
    """Index of the mask to answer with: the best of 1 to 3 by predicted IoU for one point alone, else 0."""
    if not is_ambiguous(prompt):
        return 0
    return 1 + int(np.argmax(answer.iou_predictions[1:]))


def finish(info: ModelInfo, embedding: Embedding, answer: LowResMasks, index: int) -> Mask:
    """Upscale one of the masks to original pixels and cut it at the model's threshold."""
    low_res = answer.logits[index]
    logits = geometry.upscale(low_res, embedding.input_size, embedding.original_size, info.image_size)
    height, width = geometry.low_res_size(info.low_res_size, embedding.input_size, info.image_size)
    return Mask(
        bitmap=logits > info.mask_threshold,
        score=float(answer.iou_predictions[index]),
        stability=stability_score(low_res[:height, :width], info.mask_threshold),
        low_res_logits=low_res,
    )


def stability_score(logits: NDArray[np.float32], mask_threshold: float, offset: float = STABILITY_OFFSET) -> float:
    """IoU of the mask cut `offset` above and `offset` below the threshold; 1 when both are empty.

    Source: segment-anything `utils/amg.py::calculate_stability_score`.
    """
    inner = np.count_nonzero(logits > mask_threshold + offset)
    outer = np.count_nonzero(logits > mask_threshold - offset)
    return inner / outer if outer else 1.0
