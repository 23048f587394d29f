"""What a task asks for in automatic mode: its images, or the boxes on them.

It is read first and labeled then: between the two it can wait, and be known again.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sam_backend.errors import TaskError
from sam_backend.labelstudio import boxes, choice
from sam_backend.labelstudio.boxes import Box
from sam_backend.labelstudio.tasks import image_url, places
from sam_backend.preannotation.plan import Plan

logger = logging.getLogger(__name__)

Task = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spot:
    """An image of a task that is to be labeled.

    Attributes:
        to_name: the name of its `<Image>`.
        item_index: which one of a `valueList`, or None.
        url: its address, as the task has it.
        boxes: in `boxes` mode what stands on it.
    """

    to_name: str
    item_index: int | None
    url: str
    boxes: tuple[Box, ...] = ()


def read(task: Task, plan: Plan) -> tuple[Spot, ...]:
    """What a task asks for; nothing in `boxes` mode without a box, and with mode off.

    Raises:
        TaskError: the task has no image.
    """
    match plan.automatic.mode:
        case "everything":
            return _images(task, plan)
        case "boxes":
            return _boxed(task, plan)
        case _:
            return ()


def _images(task: Task, plan: Plan) -> tuple[Spot, ...]:
    images = choice.answered(plan.label_config, plan.options)
    spots = tuple(Spot(image.name, index, url) for image, index, url in places(task, images))
    if not spots:
        image_url(task, plan.label_config.images[0])  # says what is missing
        raise TaskError(f"Task {task.get('id')} has no image.", "Import tasks with the label config's fields.")
    return spots


def _boxed(task: Task, plan: Plan) -> tuple[Spot, ...]:
    """The images that have boxes, in the order of the first box on each."""
    images = choice.answered(plan.label_config, plan.options)
    urls = {(image.name, index or 0): url for image, index, url in places(task, images)}
    on_image: dict[tuple[str, int], list[Box]] = {}
    for box in boxes.boxes(task, plan.label_config, images):
        place = box.request.control.to_name, box.request.item_index or 0
        if place in urls:
            on_image.setdefault(place, []).append(box)
        else:
            logger.warning("Task %s: the box %r is on an image that is not there.", task.get("id"), box.name)
    return tuple(
        Spot(place[0], found[0].request.item_index, urls[place], tuple(found)) for place, found in on_image.items()
    )
