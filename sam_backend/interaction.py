"""One click or rectangle, start to end: its image, what it is joined with, its masks, its regions."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_backend import metrics
from sam_backend.errors import PromptError
from sam_backend.joins import Asked, Place
from sam_backend.labelstudio import existing, prompts, results
from sam_backend.labelstudio.config import LabelConfig
from sam_backend.labelstudio.prompts import PromptRequest
from sam_backend.labelstudio.regions import Rectangle
from sam_backend.labelstudio.results import AnswerOptions
from sam_backend.pictures import Picture
from sam_backend.sam import geometry
from sam_backend.sam.types import Image, Mask, Prompt
from sam_backend.services import Services

logger = logging.getLogger(__name__)

Regions = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Question:
    """What to segment, the ids of the rectangles that are answered thereby, and the id that a new region gets."""

    prompts: list[Prompt]
    rectangles: tuple[str, ...] = ()
    region_id: str | None = None


@dataclass(frozen=True, slots=True)
class Interaction:
    """What an annotator did.

    Attributes:
        services: the process's.
        label_config: the project's.
        task: as Label Studio sent it, with its drafts, annotations and predictions.
        request: the prompts.
        place: where they belong together.
        picture: the image that they are on.
    """

    services: Services
    label_config: LabelConfig
    task: Mapping[str, Any]
    request: PromptRequest
    place: Place
    picture: Picture

    def answer(self) -> tuple[Regions, float]:
        """The regions and the best predicted IoU; no region when the prompts point at nothing.

        Raises:
            ImageError: the image could not be had or read.
            PromptError: a prompt has no meaning on this image.
            ModelError: OpenVINO failed.
        """
        _check_size(self.request, self.services.settings.max_image_pixels)
        # Before the image is fetched: a click that comes meanwhile finds the rectangle that it belongs to.
        waiting = self.services.joins.ask(self.place, self.request, existing.region_ids(self.task))
        image = self.services.pictures.get(self.picture)
        asked = self._asked(image, waiting)
        masks = [mask for prompt in asked.prompts for mask in self.services.segmenter.segment(image, prompt)]
        with metrics.stage("rle"):
            regions = self._regions(masks, asked.region_id)
        self.services.joins.answer(self.place, asked.rectangles, [region["id"] for region in regions])
        return regions, max((mask.score for mask in masks), default=0.0)

    def _asked(self, image: Image, waiting: Asked | None) -> _Question:
        request, size = self.request, image.original_size
        if request.rectangles:
            chosen = self._of_several(request.rectangles)
            return _Question([prompts.to_prompt(request, size, one) for one in chosen], request.prompt_ids)
        clicks = prompts.to_prompt(request, size)
        joined = self._join(image, clicks, waiting) if waiting else None
        if joined is None and not clicks.point_labels.any():
            logger.info("Negative clicks alone, and no rectangle or region that they belong to: answered with nothing.")
        return joined or _Question([clicks])

    def _of_several(self, rectangles: tuple[Rectangle, ...]) -> tuple[Rectangle, ...]:
        return rectangles if self.services.settings.multi_box == "each" else rectangles[-1:]

    def _join(self, image: Image, clicks: Prompt, waiting: Asked) -> _Question | None:
        """Each rectangle as a box with the clicks that belong to it, or None when none belongs to any.

        A click belongs to a box that it lies in; a negative one, too, to one in whose mask it lies. The newest
        rectangle has the clicks that belong to no other as well.
        """
        alone = replace(self.request, clicks=())
        rectangles = self._of_several(waiting.rectangles)
        boxes = [prompts.to_prompt(alone, image.original_size, rectangle) for rectangle in rectangles]
        on_mask = np.array([self._on_mask(image, clicks, box) for box in boxes])
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
        return _Question(joined, (waiting.prompt_id,), next(iter(waiting.latest)) if is_same else None)

    def _on_mask(self, image: Image, clicks: Prompt, box: Prompt) -> NDArray[np.bool_]:
        """Which of the clicks lie on the mask that the box alone has. Bool (N,)."""
        masks = self.services.segmenter.segment(image, box)
        on_each = [geometry.on_bitmap(clicks.points, mask.bitmap) for mask in masks]
        return np.asarray(np.any([np.zeros(len(clicks.points), np.bool_), *on_each], axis=0))

    def _regions(self, masks: list[Mask], region_id: str | None) -> Regions:
        """Regions at the size that the browser saw, which may be the same picture at another scale.

        A single one has `region_id`, where that is given.
        """
        size = self.request.original_size
        fitted = [
            mask
            if size in (None, mask.bitmap.shape)
            else replace(mask, bitmap=geometry.resize_bitmap(mask.bitmap, size))
            for mask in masks
        ]
        regions = results.regions(fitted, self.request, self.label_config, AnswerOptions.of(self.services.settings))
        is_one = len({region["id"] for region in regions}) == 1
        return [region | {"id": region_id} for region in regions] if region_id and is_one else regions


def _check_size(request: PromptRequest, max_pixels: int) -> None:
    height, width = request.original_size or (0, 0)
    if height * width > max_pixels:
        raise PromptError(
            f"The prompt says that its image has {width} × {height} pixels, more than the limit of {max_pixels}.",
            "Check the image, or raise SAM_MAX_IMAGE_PIXELS.",
        )
