"""Write the answer: masks become regions of the kind that the label config asks for, regions one task's prediction.

Label Studio checks none of it, and some mistakes replace the annotator's page by an error: the score of a region must
be a number, the origin one that it knows, a mask of the image's natural size, the RLE not empty.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sam_backend.labelstudio import bitmask, outlines, rle, shapes
from sam_backend.labelstudio.choice import AnswerOptions, Choice, check, choose
from sam_backend.labelstudio.config import Control, LabelConfig
from sam_backend.labelstudio.prompts import PromptRequest
from sam_backend.labelstudio.regions import new_region_id
from sam_backend.sam.types import Mask, Patch, Size

__all__ = ["AnswerOptions", "Target", "check", "corrected", "prediction", "regions", "written"]

Region = dict[str, Any]
_DEFAULTS = AnswerOptions()


@dataclass(frozen=True, slots=True)
class Target:
    """Where a mask's regions go.

    Attributes:
        choice: the control and the labels.
        item_index: which image of a `valueList`, or None.
        image_rotation: degrees by which the view was turned.
    """

    choice: Choice
    item_index: int | None = None
    image_rotation: float = 0


def regions(
    masks: Sequence[Mask], request: PromptRequest, config: LabelConfig, options: AnswerOptions = _DEFAULTS
) -> list[Region]:
    """The regions of the masks that are not empty.

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
    target = Target(choose(request, config, options), request.item_index, request.image_rotation)
    return [region for mask in masks for region in written(mask.patch, mask.score, target, options)]


def written(
    patch: Patch,
    score: float,
    target: Target,
    options: AnswerOptions = _DEFAULTS,
    new_id: Callable[[], str] = new_region_id,
) -> Iterator[Region]:
    """The regions of one mask: one, but of a polygon one for each connected part, and none of an empty mask.

    Where the labels come from a `<Labels>`, each region is two results with one id, as Label Studio stores it: the
    shape, and the shape with its labels.

    Args:
        patch: the mask, at the upright image's size (H, W).
        score: the IoU that the model predicts.
        target: where they go.
        options: how they are drawn.
        new_id: makes the regions' ids.
    """
    if patch.is_empty:
        return
    for value in _values(patch, target.choice.control.answer, options):
        yield from _region(patch.original_size, score, target, new_id(), value)


def corrected(mask: Mask, results: Sequence[Mapping[str, Any]]) -> list[Region]:
    """A brush region with another mask; it takes the place of the one whose results these are.

    Accepting it replaces all that stands under its id, so everything comes back as it was but for the mask: labels,
    meta, choices, texts.

    Args:
        mask: a mask at the upright image's size (H, W).
        results: all results with the region's id, the painted one first.
    """
    painted, *beside = results
    value = {**painted["value"], "format": "rle", "rle": rle.encode(mask.patch)}
    return [{**painted, "origin": "manual", "score": _finite(mask.score), "value": value}, *map(dict, beside)]


def prediction(result: Sequence[Region], score: float, model_version: str) -> dict[str, Any]:
    """One task's answer. A score that is not a finite number becomes 0: Label Studio saves nothing with it."""
    return {"result": list(result), "score": _finite(score), "model_version": model_version}


def _values(patch: Patch, answer: str, options: AnswerOptions) -> list[dict[str, Any]]:
    """The mask as values of regions, without labels."""
    match answer:
        case "polygon":
            return _polygons(patch, options)
        case "rectangle":
            return [dict(shapes.rectangle(patch))]
        case "ellipse":
            return [dict(shapes.ellipse(patch))]
        case "bitmask":
            return [{"imageDataURL": bitmask.data_url(patch)}]
        case _:
            return [{"format": "rle", "rle": rle.encode(patch)}]


def _polygons(patch: Patch, options: AnswerOptions) -> list[dict[str, Any]]:
    height, width = patch.original_size
    rings = outlines.polygons(patch, options.tolerance, options.points)
    return [{"points": (100 * ring / (width, height)).tolist(), "closed": True} for ring in rings]


def _region(size: Size, score: float, target: Target, region_id: str, value: dict[str, Any]) -> Iterator[Region]:
    """The one or two results of a region."""
    choice = target.choice
    if choice.labels_control is None:
        value |= _labelled(choice.control, choice.labels)
    yield _result(size, score, target, region_id, choice.control, value)
    if choice.labels_control and choice.labels:
        value = value | _labelled(choice.labels_control, choice.labels)
        yield _result(size, score, target, region_id, choice.labels_control, value)


def _labelled(control: Control, labels: Sequence[str]) -> dict[str, list[str]]:
    return {control.kind: list(labels)} if labels else {}


def _result(
    size: Size, score: float, target: Target, region_id: str, control: Control, value: dict[str, Any]
) -> Region:
    height, width = size
    result = {
        "id": region_id,
        "type": control.kind,
        "from_name": control.name,
        "to_name": control.to_name,
        "origin": "manual",
        "score": _finite(score),
        "original_width": width,
        "original_height": height,
        "image_rotation": target.image_rotation,
        "value": value,
    }
    return result if target.item_index is None else result | {"item_index": target.item_index}


def _finite(score: float) -> float:
    return float(score) if math.isfinite(score) else 0.0
