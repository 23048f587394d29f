"""What to segment: the prompts of a request, alone or with the rectangle before them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sam_backend.joins import Asked
from sam_backend.labelstudio import prompts
from sam_backend.labelstudio.prompts import PromptRequest
from sam_backend.labelstudio.regions import Rectangle
from sam_backend.sam import geometry
from sam_backend.sam.types import Image, Prompt
from sam_backend.services import Services


@dataclass(frozen=True, slots=True)
class Question:
    """What to segment.

    Attributes:
        prompts: one for each region, in original pixels.
        rectangles: the ids of the rectangles that are answered thereby.
        region_id: the id that a single region gets, or None for a new one.
    """

    prompts: list[Prompt]
    rectangles: tuple[str, ...] = ()
    region_id: str | None = None


def ask(services: Services, request: PromptRequest, image: Image, waiting: Asked | None) -> Question:
    """The question that a request puts.

    Args:
        services: the process's.
        request: the prompts.
        image: the upright image that they are on.
        waiting: the rectangle that clicks of the request may belong to.

    Raises:
        PromptError: a prompt has no meaning on this image.
    """
    if request.rectangles:
        chosen = _of_several(services, request.rectangles)
        boxes = [prompts.to_prompt(request, image.original_size, rectangle) for rectangle in chosen]
        return Question(boxes, request.prompt_ids)
    clicks = prompts.to_prompt(request, image.original_size)
    joined = _join(services, request, image, clicks, waiting) if waiting else None
    return joined or Question([clicks])


def _of_several(services: Services, rectangles: tuple[Rectangle, ...]) -> tuple[Rectangle, ...]:
    return rectangles if services.settings.multi_box == "each" else rectangles[-1:]


def _join(services: Services, request: PromptRequest, image: Image, clicks: Prompt, waiting: Asked) -> Question | None:
    """Each rectangle as a box with the clicks that belong to it, or None when none belongs to any.

    A click belongs to a box that it lies in; a negative one, too, to one in whose mask it lies. The newest rectangle
    has the clicks that belong to no other as well.
    """
    alone = replace(request, clicks=())
    rectangles = _of_several(services, waiting.rectangles)
    boxes = [prompts.to_prompt(alone, image.original_size, rectangle) for rectangle in rectangles]
    on_mask = np.array([_on_mask(services, image, clicks, box) for box in boxes])
    is_negative = clicks.point_labels == 0
    inside = np.array([geometry.in_box(clicks.points, box.boxes[0]) for box in boxes])
    belong = inside | (on_mask & is_negative)
    if not belong.any():
        return None
    belong[-1] |= ~belong.any(0)
    joined = [
        replace(box, points=clicks.points[chosen], point_labels=clicks.point_labels[chosen])
        for box, chosen in zip(boxes, belong, strict=True)
    ]
    # An answer that was accepted a moment ago is in no draft yet. Clicks on its mask mean that region in any case.
    is_same = len(boxes) == len(waiting.latest) == 1 and bool((on_mask[0] | is_negative).all())
    return Question(joined, (waiting.prompt_id,), next(iter(waiting.latest)) if is_same else None)


def _on_mask(services: Services, image: Image, clicks: Prompt, box: Prompt) -> NDArray[np.bool_]:
    """Which of the clicks lie on the mask that the box alone has. Bool (N,)."""
    masks = services.segmenter.segment(image, box)
    on_each = [mask.patch.holds(geometry.pixels_under(clicks.points)) for mask in masks]
    return np.asarray(np.any([np.zeros(len(clicks.points), np.bool_), *on_each], axis=0))
