"""Read what an annotator asked: the regions of `context.result` become one `PromptRequest`, then a `Prompt`.

Label Studio sends, in the order of their creation, all regions of one control type and one label on a task, smart or
not. A smart keypoint says `is_positive`; an ordinary one does not and is no prompt. Nothing marks a smart rectangle, so
the last one is taken. The last region that is a prompt decides the control, the labels and the image of a list; what
differs from it is left out. Coordinates are percent of the upright image, whatever the rotation of the view.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_backend.errors import BodyError, PromptError
from sam_backend.labelstudio.config import POINT_KINDS, Control, LabelConfig
from sam_backend.sam.types import Prompt, Size

log = logging.getLogger(__name__)

MARGIN = 1.0
"""How far outside of 0..100 percent a coordinate may lie before it is taken for an error."""


class _MalformedError(Exception):
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
class PromptRequest:
    """What was asked, still in Label Studio's units.

    Attributes:
        control: the control that the prompts come from.
        labels: the names of the labels chosen, as stored in annotations; usually one, may be none.
        region_id: the id of the newest prompt.
        clicks: all clicks that belong together, oldest first; empty for a rectangle.
        rectangle: the newest rectangle, or None for clicks.
        item_index: which image of a `valueList`, or None where the request has none.
        original_size: (H, W) of the image as the browser saw it, or None where the request does not say.
        image_rotation: degrees by which the view was turned; coordinates are not affected.
    """

    control: Control
    labels: tuple[str, ...]
    region_id: str | None
    clicks: tuple[Click, ...]
    rectangle: Rectangle | None
    item_index: int | None
    original_size: Size | None
    image_rotation: float


@dataclass(frozen=True, slots=True)
class _Region:
    """One usable region: a prompt, and what must be equal for two prompts to belong together."""

    control: Control
    labels: tuple[str, ...]
    item_index: int | None
    shape: Click | Rectangle
    raw: Mapping[str, Any]

    @property
    def group(self) -> tuple[object, ...]:
        return self.control, self.labels, self.item_index


def parse(context: Mapping[str, Any], config: LabelConfig) -> PromptRequest | None:
    """Read an interactive request's context.

    Args:
        context: `params.context` of the request, {"result": [regions]}.
        config: the label config of the same request.

    Returns:
        The prompts that belong to the newest one, or None when no region is a prompt of this config.

    Raises:
        BodyError: the context has no list `result`.
        PromptError: some regions are prompts, but each of them is malformed.
    """
    result = context.get("result")
    if not isinstance(result, list):
        raise BodyError("The context has no list 'result'.", "Send the regions as Label Studio does.")
    regions, problems = _usable(result, config)
    if regions:
        return _request(regions)
    if problems:
        raise PromptError(f"No prompt can be used: {problems[-1]}.", "Place the prompt again.")
    return None


def to_prompt(request: PromptRequest, original_size: Size) -> Prompt:
    """Turn percent into pixels of the image, without rounding.

    A rotated rectangle becomes its axis-aligned hull, and a rectangle is cut to the image; clicks are passed on as they
    are, a little outside of the image too.

    Args:
        request: what `parse` returned.
        original_size: (H, W) of the upright image.

    Returns:
        A prompt in original pixels with clicks or one box.

    Raises:
        PromptError: the browser saw an image of another size, so a mask would be shifted; or the rectangle has nothing
            of the image in it.
    """
    height, width = original_size
    if request.original_size not in (None, original_size):
        raise PromptError(
            f"The prompt was placed on an image of (H, W) = {request.original_size}, but here it is {original_size}.",
            "Check that Label Studio and this backend read the same file.",
        )
    boxes = np.zeros((0, 4))
    if request.rectangle is not None:
        boxes = _box(request.rectangle, original_size)[np.newaxis]
    points = np.array([(click.x, click.y) for click in request.clicks], np.float64).reshape(-1, 2)
    return Prompt(
        points=points / 100 * np.array([width, height], np.float64),
        point_labels=np.array([click.is_positive for click in request.clicks], np.int64),
        boxes=boxes,
        label=request.labels[0] if request.labels else None,
        region_id=request.region_id,
    )


def _box(rectangle: Rectangle, original_size: Size) -> NDArray[np.float64]:
    """XYXY in original pixels of what the rectangle covers of the image."""
    scale = np.array(original_size[::-1], np.float64)
    corner = np.array([rectangle.x, rectangle.y]) / 100 * scale
    side_x, side_y = np.array([rectangle.width, rectangle.height]) / 100 * scale
    angle = math.radians(rectangle.rotation)
    across = side_x * np.array([math.cos(angle), math.sin(angle)])
    down = side_y * np.array([-math.sin(angle), math.cos(angle)])
    corners = corner + np.array([0 * across, across, down, across + down])
    low, high = np.clip(corners.min(0), 0, scale), np.clip(corners.max(0), 0, scale)
    if not (high > low).all():
        raise PromptError("The rectangle lies outside the image.", "Draw it on the image.")
    return np.concatenate([low, high])


def _usable(result: list[Any], config: LabelConfig) -> tuple[list[_Region], list[str]]:
    """The prompts among the regions, and what is wrong with those that are malformed."""
    regions, problems = [], []
    for raw in result:
        control = _control(raw, config)
        if control is None:
            continue
        try:
            regions.append(_region(raw, control))
        except _MalformedError as error:
            log.warning("prompt %r skipped: %s", raw.get("id"), error)
            problems.append(str(error))
    return regions, problems


def _control(raw: Any, config: LabelConfig) -> Control | None:
    """The control that a region prompts with, or None when it is no prompt of this config."""
    if not isinstance(raw, Mapping):
        return None
    control = config.prompt_control(raw.get("from_name"), raw.get("to_name"), raw.get("type"))
    is_ordinary = control is not None and control.kind in POINT_KINDS and raw.get("is_positive") is None
    return None if is_ordinary else control


def _region(raw: Mapping[str, Any], control: Control) -> _Region:
    value = raw.get("value")
    if not isinstance(value, Mapping):
        raise _MalformedError("it has no value")
    shape = _click(raw, value) if control.kind in POINT_KINDS else _rectangle(value)
    return _Region(control, _labels(value, control), _item_index(raw), shape, raw)


def _click(raw: Mapping[str, Any], value: Mapping[str, Any]) -> Click:
    x, y = _number(value, "x", -MARGIN, 100 + MARGIN), _number(value, "y", -MARGIN, 100 + MARGIN)
    if not isinstance(raw["is_positive"], bool):
        raise _MalformedError(f"is_positive is {raw['is_positive']!r}, not true or false")
    return Click(x, y, raw["is_positive"])


def _rectangle(value: Mapping[str, Any]) -> Rectangle:
    rotation = _number(value, "rotation", -3600, 3600) if value.get("rotation") is not None else 0.0
    margin = MARGIN if rotation % 360 == 0 else 100.0  # a turned rectangle's own corner may lie far outside
    x, y = (_number(value, key, -margin, 100 + margin) for key in ("x", "y"))
    width, height = (_number(value, key, 0, 200 + 2 * margin) for key in ("width", "height"))
    if width == 0 or height == 0:
        raise _MalformedError("the rectangle has no area")
    return Rectangle(x, y, width, height, rotation)


def _labels(value: Mapping[str, Any], control: Control) -> tuple[str, ...]:
    labels = value.get(control.kind) or value.get("labels") or ()
    return tuple(label for label in labels if isinstance(label, str)) if isinstance(labels, list | tuple) else ()


def _item_index(raw: Mapping[str, Any]) -> int | None:
    index = raw.get("item_index")
    if index is None or (isinstance(index, int) and not isinstance(index, bool) and index >= 0):
        return index
    raise _MalformedError(f"item_index is {index!r}")


def _number(value: Mapping[str, Any], key: str, low: float, high: float) -> float:
    number = value.get(key)
    if isinstance(number, bool) or not isinstance(number, int | float) or not low <= number <= high:
        raise _MalformedError(f"{key} is {number!r}, not a number in {low:g}..{high:g}")
    return float(number)


def _request(regions: list[_Region]) -> PromptRequest:
    """The newest prompt and those that belong to it."""
    newest = regions[-1]
    region_id = newest.raw.get("id")
    return PromptRequest(
        control=newest.control,
        labels=newest.labels,
        region_id=region_id if isinstance(region_id, str) else None,
        clicks=tuple(r.shape for r in regions if r.group == newest.group and isinstance(r.shape, Click)),
        rectangle=newest.shape if isinstance(newest.shape, Rectangle) else None,
        item_index=newest.item_index,
        original_size=_original_size(newest.raw),
        image_rotation=_rotation(newest.raw),
    )


def _original_size(raw: Mapping[str, Any]) -> Size | None:
    height, width = raw.get("original_height"), raw.get("original_width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _rotation(raw: Mapping[str, Any]) -> float:
    rotation = raw.get("image_rotation")
    return rotation if isinstance(rotation, int | float) and math.isfinite(rotation) else 0
