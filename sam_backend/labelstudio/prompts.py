"""Read what an annotator asked: the regions of `context.result` become one `PromptRequest`, then a `Prompt`.

Label Studio sends, in the order of their creation, all regions of one control type and one label on a task, smart or
not. A smart keypoint says `is_positive`; an ordinary one does not and is no prompt. Nothing marks a smart rectangle, so
each is taken for one, but for those that we answered. The last region that is a prompt decides the control, the labels
and the image of a list; what differs from it is left out.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_backend.errors import BodyError, PromptError
from sam_backend.labelstudio import regions
from sam_backend.labelstudio.config import Control, LabelConfig
from sam_backend.labelstudio.regions import Click, MalformedError, Rectangle, Region
from sam_backend.sam import geometry
from sam_backend.sam.types import Prompt, Size

logger = logging.getLogger(__name__)


MOST_CLICKS = 1000
"""For one mask. Nobody places as many; decoding them takes memory and time with each."""


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """What was asked, still in Label Studio's units.

    Attributes:
        control: the control that the prompts come from; its `to_name` is the image.
        labels: the names of the labels chosen, as stored in annotations; usually one, may be none.
        region_id: the id of the newest prompt, or None.
        clicks: all clicks that belong together, oldest first; empty for rectangles.
        rectangles: all rectangles that belong together, oldest first; empty for clicks.
        item_index: which image of a `valueList`, or None where the request has none.
        original_size: (H, W) of the image as the browser saw it, or None where the request does not say.
        image_rotation: degrees by which the view was turned; coordinates are not affected.
        prompt_ids: what tells the clicks, or the rectangles, from others: their ids, where missing their values.
    """

    control: Control
    labels: tuple[str, ...]
    region_id: str | None
    clicks: tuple[Click, ...]
    rectangles: tuple[Rectangle, ...]
    item_index: int | None
    original_size: Size | None
    image_rotation: float
    prompt_ids: tuple[str, ...] = ()

    @property
    def rectangle(self) -> Rectangle | None:
        """The newest rectangle, or None for clicks."""
        return self.rectangles[-1] if self.rectangles else None


def parse(context: Mapping[str, Any], config: LabelConfig) -> PromptRequest | None:
    """Read an interactive request's context.

    Args:
        context: `params.context` of the request, {"result": [regions]}.
        config: the label config of the same request.

    Returns:
        The prompts that belong to the newest one, or None when no region is a prompt of this config. Negative clicks
        alone are a request; it is answered by no mask.

    Raises:
        BodyError: the context has no list `result`.
        PromptError: some regions are prompts, but each of them is malformed.
    """
    result = context.get("result")
    if not isinstance(result, list):
        raise BodyError("The context has no list 'result'.", "Send the regions as Label Studio does.")
    found, problems = _read(result, config)
    if found:
        return _request(found)
    if problems:
        raise PromptError(f"No prompt can be used: {problems[-1]}.", "Place the prompt again.")
    return None


def to_prompt(request: PromptRequest, original_size: Size, rectangle: Rectangle | None = None) -> Prompt:
    """Turn percent into pixels of the image, without rounding.

    A rotated rectangle becomes its axis-aligned hull, and a rectangle is cut to the image; clicks are passed on as they
    are, a little outside of the image too.

    Args:
        request: what `parse` returned.
        original_size: (H, W) of the upright image as it was decoded.
        rectangle: one that goes with the request's clicks; without it, the request's own newest one, if any.

    Returns:
        A prompt in original pixels with clicks, one box, or both.

    Raises:
        PromptError: the browser saw an image of other proportions, so a mask would be shifted; or the rectangle has
            nothing of the image in it.
    """
    seen = request.original_size
    if seen is not None and not geometry.have_same_proportions(seen, original_size):
        raise PromptError(
            f"The prompt was placed on an image of (H, W) = {seen}, but here it is {original_size}.",
            "Check that Label Studio and this backend read the same file.",
        )
    scale = np.array(original_size[::-1], np.float64)
    points = np.array([(click.x, click.y) for click in request.clicks], np.float64).reshape(-1, 2)
    chosen = rectangle or request.rectangle
    boxes = [] if chosen is None else [_box(chosen, scale)]
    return Prompt(
        points=points / 100 * scale,
        point_labels=np.array([click.is_positive for click in request.clicks], np.int64),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        label=request.labels[0] if request.labels else None,
        region_id=request.region_id,
    )


def _read(result: list[Any], config: LabelConfig) -> tuple[list[Region], list[str]]:
    """The prompts among the regions, and what is wrong with those that are malformed."""
    found, problems, beside = [], [], regions.labels_by_id(result)
    for raw in result:
        control = regions.control_of(raw, config)
        if control is None:
            continue
        try:
            found.append(regions.read(raw, control, beside))
        except MalformedError as error:
            logger.warning("The prompt %.100r is left out: %s.", raw.get("id"), error)
            problems.append(str(error))
    return found, problems


def _request(found: list[Region]) -> PromptRequest:
    """The newest prompt and those that belong to it."""
    newest = found[-1]
    together = [region for region in found if region.group == newest.group]
    if isinstance(newest.shape, Click) and len(together) > MOST_CLICKS:
        raise PromptError(f"There are {len(together)} clicks for one mask; the most are {MOST_CLICKS}.", "Begin anew.")
    return PromptRequest(
        control=newest.control,
        labels=newest.labels,
        region_id=newest.region_id,
        clicks=tuple(one.shape for one in together if isinstance(one.shape, Click)),
        rectangles=tuple(one.shape for one in together if isinstance(one.shape, Rectangle)),
        item_index=newest.item_index,
        original_size=newest.original_size,
        image_rotation=newest.image_rotation,
        prompt_ids=tuple(one.region_id or repr(one.shape) for one in together),
    )


def _box(rectangle: Rectangle, scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """XYXY (4,) in original pixels of what the rectangle covers of the image; `scale` is the image's (W, H)."""
    corner = np.array([rectangle.x, rectangle.y]) / 100 * scale
    width, height = np.array([rectangle.width, rectangle.height]) / 100 * scale
    angle = math.radians(rectangle.rotation)
    across = width * np.array([math.cos(angle), math.sin(angle)])
    down = height * np.array([-math.sin(angle), math.cos(angle)])
    corners = corner + np.array([0 * across, across, down, across + down])
    low, high = np.clip(corners.min(0), 0, scale), np.clip(corners.max(0), 0, scale)
    if not (high > low).all():
        raise PromptError("The rectangle lies outside of the image.", "Draw it on the image.")
    return np.concatenate([low, high])
