"""Write the answer: masks become regions of the kind that the label config asks for, regions one task's prediction.

Label Studio checks none of it, and some mistakes replace the annotator's page by an error: the score of a region must
be a number, the origin one that it knows, a mask of the image's natural size, the RLE not empty.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sam_backend.labelstudio import bitmask, outlines, rle, shapes
from sam_backend.labelstudio.choice import AnswerOptions, Choice, check, choose
from sam_backend.labelstudio.config import Control, LabelConfig
from sam_backend.labelstudio.prompts import PromptRequest
from sam_backend.labelstudio.regions import new_region_id
from sam_backend.sam.types import Mask

__all__ = ["AnswerOptions", "check", "corrected", "prediction", "regions"]

Region = dict[str, Any]
_DEFAULTS = AnswerOptions()


def regions(
    masks: Sequence[Mask], request: PromptRequest, config: LabelConfig, options: AnswerOptions = _DEFAULTS
) -> list[Region]:
    """The regions of the masks that are not empty: one each, but of polygons one for each connected part.

    Where the labels come from a `<Labels>`, each region is two results with one id, as Label Studio stores it: the
    shape, and the shape with its labels.

    Args:
        masks: masks at the upright image's size (H, W).
        request: what was asked; its image, label, `item_index` and rotation come back.
        config: the label config of the same request.
        options: which controls may answer, and how.

    Returns:
        Results for a prediction's `result`. A label that the answering control does not offer is left out and logged,
        never replaced by another.

    Raises:
        LabelConfigError: the setting `SAM_ANSWER` leaves all controls of the prompt's image out.
    """
    choice = choose(request, config, options)
    found = []
    for mask in masks:
        if mask.bitmap.any():
            for value in _values(mask, choice.control.answer, options):
                found += _region(mask, request, choice, value)
    return found


def corrected(mask: Mask, results: Sequence[Mapping[str, Any]]) -> list[Region]:
    """A brush region with another mask; it takes the place of the one whose results these are.

    Accepting it replaces all that stands under its id, so everything comes back as it was but for the mask: labels,
    meta, choices, texts.

    Args:
        mask: a mask at the upright image's size (H, W).
        results: all results with the region's id, the painted one first.
    """
    painted, *beside = results
    value = {**painted["value"], "format": "rle", "rle": rle.encode(mask.bitmap)}
    return [{**painted, "origin": "manual", "score": _finite(mask.score), "value": value}, *map(dict, beside)]


def prediction(result: Sequence[Region], score: float, model_version: str) -> dict[str, Any]:
    """One task's answer. A score that is not a finite number becomes 0: Label Studio saves nothing with it."""
    return {"result": list(result), "score": _finite(score), "model_version": model_version}


def _values(mask: Mask, answer: str, options: AnswerOptions) -> list[dict[str, Any]]:
    """The mask as values of regions, without labels."""
    match answer:
        case "polygon":
            return _polygons(mask, options)
        case "rectangle":
            return [dict(shapes.rectangle(mask.bitmap))]
        case "ellipse":
            return [dict(shapes.ellipse(mask.bitmap))]
        case "bitmask":
            return [{"imageDataURL": bitmask.data_url(mask.bitmap)}]
        case _:
            return [_brush(mask)]


def _brush(mask: Mask) -> dict[str, Any]:
    return {"format": "rle", "rle": rle.encode(mask.bitmap)}


def _polygons(mask: Mask, options: AnswerOptions) -> list[dict[str, Any]]:
    height, width = mask.bitmap.shape
    rings = outlines.polygons(mask.bitmap, options.tolerance, options.points)
    return [{"points": (100 * ring / (width, height)).tolist(), "closed": True} for ring in rings]


def _region(mask: Mask, request: PromptRequest, choice: Choice, value: dict[str, Any]) -> list[Region]:
    """The one or two results of a region."""
    region_id = new_region_id()
    if choice.labels_control is None:
        value |= _labelled(choice.control, choice.labels)
        return [_result(mask, request, choice.control, region_id, value)]
    shape = _result(mask, request, choice.control, region_id, value)
    if not choice.labels:
        return [shape]
    value = value | _labelled(choice.labels_control, choice.labels)
    return [shape, _result(mask, request, choice.labels_control, region_id, value)]


def _labelled(control: Control, labels: Sequence[str]) -> dict[str, list[str]]:
    return {control.kind: list(labels)} if labels else {}


def _result(mask: Mask, request: PromptRequest, control: Control, region_id: str, value: dict[str, Any]) -> Region:
    height, width = mask.bitmap.shape
    result = {
        "id": region_id,
        "type": control.kind,
        "from_name": control.name,
        "to_name": control.to_name,
        "origin": "manual",
        "score": _finite(mask.score),
        "original_width": width,
        "original_height": height,
        "image_rotation": request.image_rotation,
        "value": value,
    }
    return result if request.item_index is None else result | {"item_index": request.item_index}


def _finite(score: float) -> float:
    return float(score) if math.isfinite(score) else 0.0
