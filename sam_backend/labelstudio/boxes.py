"""The rectangles that stand in a task, each of which asks for a mask in automatic mode.

Those of the newest annotation that has any; else those of the newest prediction that has any and is not ours. A
rectangle counts when it is on an image of the label config, whatever control it came from: an older project's, or a
detector's, may be none of this config.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sam_backend.labelstudio import regions
from sam_backend.labelstudio.config import RECTANGLE_KINDS, Control, ImageTag, LabelConfig
from sam_backend.labelstudio.prompts import PromptRequest
from sam_backend.labelstudio.regions import MalformedError, Rectangle

logger = logging.getLogger(__name__)

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of a task.

    Attributes:
        request: it, as if it had been asked; its `region_id` is the rectangle's, None where it has none.
        is_drawn: it stands in an annotation, so that its `original_size` is what a browser saw.
    """

    request: PromptRequest
    is_drawn: bool

    @property
    def name(self) -> str:
        """What a log line calls it."""
        return self.request.region_id or "without id"


def boxes(task: Object, config: LabelConfig, images: Sequence[ImageTag]) -> list[Box]:
    """The rectangles that ask for masks, in their order; a malformed one is left out and logged.

    Args:
        task: as Label Studio sends or exports it, with its annotations and predictions.
        config: the project's label config.
        images: those that can be answered for.
    """
    for key in ("annotations", "predictions"):
        for work in _newest_first(task.get(key)):
            found = _in_work(work, config, images)
            is_ours = key == "predictions" and any(regions.is_ours(raw.get("id")) for raw in _results(work))
            if found and not is_ours:
                labels = regions.labels_by_id(_results(work))
                read = [_read(raw, control, labels, key == "annotations") for raw, control in found]
                return [box for box in read if box]
    return []


def _newest_first(works: object) -> list[Object]:
    found = [one for one in works if isinstance(one, Mapping)] if isinstance(works, list) else []
    return sorted((one for one in found if not one.get("was_cancelled")), key=_age, reverse=True)


def _age(work: Object) -> tuple[str, int]:
    identifier = work.get("id")
    changed = work.get("updated_at") or work.get("created_at") or ""
    return str(changed), identifier if isinstance(identifier, int) else 0


def _in_work(work: Object, config: LabelConfig, images: Sequence[ImageTag]) -> list[tuple[Object, Control]]:
    """The rectangles on images of the config, each region once, with the controls that they come from."""
    found: dict[object, tuple[Object, Control]] = {}
    for number, raw in enumerate(_results(work)):
        control = _control(raw, config, images) if raw.get("type") in RECTANGLE_KINDS else None
        if control:
            region_id = raw.get("id")
            found.setdefault(region_id if isinstance(region_id, str) else number, (raw, control))
    return list(found.values())


def _control(raw: Object, config: LabelConfig, images: Sequence[ImageTag]) -> Control | None:
    """The config's control, else one that stands for another config's; None on no image of this config."""
    from_name, kind = raw.get("from_name"), raw["type"]
    names = [image.name for image in images]
    to_name = raw.get("to_name") if raw.get("to_name") in names or len(names) != 1 else names[0]
    if to_name not in names:
        return None
    return config.prompt_control(from_name, to_name, kind) or Control(str(from_name or ""), str(to_name), kind)


def _read(
    raw: Object,
    control: Control,
    labels: Mapping[str, tuple[str, ...]],
    is_drawn: bool,  # noqa: FBT001 - a field's value
) -> Box | None:
    try:
        region = regions.read(raw, control, labels)
    except MalformedError as error:
        logger.warning("The box %r is left out: %s.", raw.get("id"), error)
        return None
    if not isinstance(region.shape, Rectangle):
        return None
    request = PromptRequest(
        control=control,
        labels=region.labels,
        region_id=region.region_id,
        clicks=(),
        rectangles=(region.shape,),
        item_index=region.item_index,
        original_size=region.original_size,
        image_rotation=region.image_rotation,
    )
    return Box(request, is_drawn)


def _results(work: Object) -> list[Object]:
    result = work.get("result")
    return [raw for raw in result if isinstance(raw, Mapping)] if isinstance(result, list) else []
