"""One region of `context.result` as a value: a smart keypoint or a rectangle, in percent of the upright image.

The image's pixels are those of the browser, whatever the rotation of the view; x, y and sizes are floats of 0 to 100.
"""

import math
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sam_backend.labelstudio.config import POINT_KINDS, Control, LabelConfig
from sam_backend.sam.types import Size

MARGIN = 1.0
"""How far outside of 0..100 percent a coordinate may lie before it is taken for an error."""

REGION_ID_PREFIX = "sam-"
"""Begins the ids of the regions that we answer; the editor's own ids have ten characters."""


_LONGEST_ID = 256  # ids are remembered
_NOTHING: Mapping[str, tuple[str, ...]] = {}


class MalformedError(Exception):
    """A region is a prompt, but its values make no sense."""


@dataclass(frozen=True, slots=True)
class Click:
    """A smart keypoint: x and y in percent of the image's width and height."""

    x: float
    y: float
    is_positive: bool


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle in percent; x, y is the corner about which it is turned by `rotation` degrees, clockwise."""

    x: float
    y: float
    width: float
    height: float
    rotation: float


@dataclass(frozen=True, slots=True)
class Region:
    """A region that is a prompt.

    Attributes:
        region_id: its id, or None.
        control: the control that it comes from.
        labels: the names of its labels, as stored in annotations; usually one, may be none.
        shape: the click or the rectangle.
        item_index: which image of a `valueList`, or None where the region has none.
        original_size: (H, W) of the image as the browser saw it, or None where the region does not say.
        image_rotation: degrees by which the view was turned.
    """

    region_id: str | None
    control: Control
    labels: tuple[str, ...]
    shape: Click | Rectangle
    item_index: int | None
    original_size: Size | None
    image_rotation: float

    @property
    def group(self) -> tuple[object, ...]:
        """What must be equal for two regions to be one prompt."""
        return self.control, self.labels, self.item_index


def new_region_id() -> str:
    """An id for a region of ours, equal to no other."""
    return REGION_ID_PREFIX + uuid.uuid4().hex


def is_ours(region_id: object) -> bool:
    """Whether a region with this id was answered by us, here or in another process."""
    return isinstance(region_id, str) and region_id.startswith(REGION_ID_PREFIX)


def control_of(raw: Any, config: LabelConfig) -> Control | None:
    """The control that a region prompts with, or None when it is no prompt of this config.

    A keypoint without `is_positive` is an ordinary one, no prompt; nor is a rectangle that we answered.
    """
    if not isinstance(raw, Mapping) or is_ours(raw.get("id")):
        return None
    control = config.prompt_control(raw.get("from_name"), raw.get("to_name"), raw.get("type"))
    is_ordinary = control is not None and control.kind in POINT_KINDS and raw.get("is_positive") is None
    return None if is_ordinary else control


def read(raw: Mapping[str, Any], control: Control, beside: Mapping[str, tuple[str, ...]] = _NOTHING) -> Region:
    """Read a region of that control.

    Args:
        raw: the region.
        control: its control, from `control_of`.
        beside: `labels_by_id` of the request: the labels of a control without any stand in another one of the same id.

    Raises:
        MalformedError: a coordinate is missing, no number, or far outside of the image; a rectangle has no
            area; the id is longer than any.
    """
    value = raw.get("value")
    if not isinstance(value, Mapping):
        raise MalformedError("it has no value")
    region_id = raw.get("id")
    if isinstance(region_id, str) and len(region_id) > _LONGEST_ID:
        raise MalformedError(f"its id has {len(region_id)} characters")
    return Region(
        region_id=region_id if isinstance(region_id, str) else None,
        control=control,
        labels=_labels(value, control) or labels_of(raw, beside),
        shape=_click(raw, value) if control.kind in POINT_KINDS else _rectangle(value),
        item_index=_item_index(raw),
        original_size=_original_size(raw),
        image_rotation=_rotation(raw),
    )


def _click(raw: Mapping[str, Any], value: Mapping[str, Any]) -> Click:
    x, y = (_number(value, key, -MARGIN, 100 + MARGIN) for key in ("x", "y"))
    if not isinstance(raw["is_positive"], bool):
        raise MalformedError(f"is_positive is {raw['is_positive']!r}, not true or false")
    return Click(x, y, raw["is_positive"])


def _rectangle(value: Mapping[str, Any]) -> Rectangle:
    rotation = _number(value, "rotation", -3600, 3600) if value.get("rotation") is not None else 0.0
    margin = MARGIN if rotation % 360 == 0 else 100.0  # a turned rectangle's own corner may lie far outside
    x, y = (_number(value, key, -margin, 100 + margin) for key in ("x", "y"))
    width, height = (_number(value, key, 0, 100 + 2 * margin) for key in ("width", "height"))
    if width == 0 or height == 0:
        raise MalformedError("the rectangle has no area")
    return Rectangle(x, y, width, height, rotation)


def _labels(value: Mapping[str, Any], control: Control) -> tuple[str, ...]:
    return names(value.get(control.kind) or value.get("labels"))


def labels_by_id(results: Iterable[Any]) -> dict[str, tuple[str, ...]]:
    """The labels that a `<Labels>` gave to regions: results of their own with the regions' ids."""
    found: dict[str, tuple[str, ...]] = {}
    for one in results:
        if isinstance(one, Mapping) and one.get("type") == "labels" and isinstance(one.get("id"), str):
            labels = one["value"].get("labels") if isinstance(one.get("value"), Mapping) else None
            found.setdefault(one["id"], names(labels))
    return found


def labels_of(raw: Mapping[str, Any], beside: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The region's among `labels_by_id`."""
    region_id = raw.get("id")
    return beside.get(region_id, ()) if isinstance(region_id, str) else ()


def names(labels: object) -> tuple[str, ...]:
    """The names in a list of labels; what is no list has none."""
    return tuple(label for label in labels if isinstance(label, str)) if isinstance(labels, list) else ()


def _item_index(raw: Mapping[str, Any]) -> int | None:
    index = raw.get("item_index")
    if index is None or (isinstance(index, int) and not isinstance(index, bool) and index >= 0):
        return index
    raise MalformedError(f"item_index is {index!r}")


def _original_size(raw: Mapping[str, Any]) -> Size | None:
    height, width = raw.get("original_height"), raw.get("original_width")
    if not isinstance(height, int) or not isinstance(width, int) or height < 1 or width < 1:
        return None
    return height, width


def _rotation(raw: Mapping[str, Any]) -> float:
    rotation = raw.get("image_rotation")
    return rotation if isinstance(rotation, int | float) and math.isfinite(rotation) else 0


def _number(value: Mapping[str, Any], key: str, low: float, high: float) -> float:
    number = value.get(key)
    if isinstance(number, bool) or not isinstance(number, int | float) or not low <= number <= high:
        raise MalformedError(f"{key} is {number!r}, not a number of {low:g} to {high:g}")
    return float(number)
