"""Low-resolution masks → the mask that is answered."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sam_backend.sam import contour, geometry
from sam_backend.sam.decoder import LowResMasks
from sam_backend.sam.folder import ModelInfo
from sam_backend.sam.types import Embedding, Mask, Prompt

STABILITY_OFFSET = 1.0
SAME_IOU = 0.95

Rule = Literal["best", "smallest", "largest", "all"]


def is_ambiguous(prompt: Prompt) -> bool:
    """Whether the prompt is one point alone, for which SamPredictor's documentation advises the multimask output."""
    return len(prompt.points) == 1 and len(prompt.boxes) == 0 and prompt.mask_input is None


def choose(
    info: ModelInfo, embedding: Embedding, answer: LowResMasks, prompt: Prompt, rule: Rule = "best"
) -> list[int]:
    """Which masks to answer with; the first is the one that the next click refines.

    Args:
        info: the model's; its threshold says what is inside a mask.
        embedding: the image's; its size says which part of the masks shows the picture and not the padding.
        answer: what the decoder said to `prompt`.
        prompt: one point alone is answered by masks 1 to 3, anything else by mask 0.
        rule: of masks 1 to 3, the `best` by predicted IoU, the `smallest` or the `largest` by area, or `all` but those
            that are nearly a better one, best first. By these three an empty mask is answered only if all are empty.

    Returns:
        Indices into `answer`, at least one.
    """
    if not is_ambiguous(prompt):
        return [0]
    ranked = [1 + int(index) for index in np.argsort(-answer.iou_predictions[1:], kind="stable")]
    if rule == "best":
        return ranked[:1]
    bitmaps = _bitmaps(info, embedding, answer)
    filled = [index for index in ranked if bitmaps[index].any()] or ranked[:1]
    if rule == "all":
        return _distinct(filled, bitmaps)
    pick = min if rule == "smallest" else max
    return [pick(filled, key=lambda index: np.count_nonzero(bitmaps[index]))]


def _bitmaps(info: ModelInfo, embedding: Embedding, answer: LowResMasks) -> NDArray[np.bool_]:
    """Masks, bool (4, h, w), on the part of the low-resolution grid that shows the picture."""
    height, width = geometry.low_res_size(info.low_res_size, embedding.input_size, info.image_size)
    return np.asarray(answer.logits[:, :height, :width] > info.mask_threshold)


def _distinct(ranked: list[int], bitmaps: NDArray[np.bool_]) -> list[int]:
    """Those that are not nearly the same as one before them."""
    kept: list[int] = []
    for index in ranked:
        if all(_iou(bitmaps[index], bitmaps[other]) < SAME_IOU for other in kept):
            kept.append(index)
    return kept


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks, one of which at least is not empty."""
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def finish(info: ModelInfo, embedding: Embedding, answer: LowResMasks, index: int) -> Mask:
    """Upscale one of the masks to original pixels and cut it at the model's threshold."""
    low_res = answer.logits[index]
    sizes = embedding.input_size, embedding.original_size, info.image_size
    height, width = geometry.low_res_size(info.low_res_size, embedding.input_size, info.image_size)
    return Mask(
        patch=contour.trace(low_res, info.mask_threshold, *sizes),
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
    return float(inner / outer) if outer else 1.0
