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
from sam_backend.labelstudio import prompts, results
from sam_backend.labelstudio.config import LabelConfig
from sam_backend.labelstudio.prompts import PromptRequest
from sam_backend.labelstudio.regions import Rectangle
from sam_backend.pictures import Picture
from sam_backend.sam import geometry
from sam_backend.sam.types import Image, Mask, Prompt
from sam_backend.services import Services

logger = logging.getLogger(__name__)

Regions = list[dict[str, Any]]


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
        waiting = self.services.joins.ask(self.place, self.request, frozenset())
        image = self.services.pictures.get(self.picture)
        asked, owners = self._prompts(image, waiting)
        masks = [mask for prompt in asked for mask in self.services.segmenter.segment(image, prompt)]
        with metrics.stage("rle"):
            regions = self._regions(masks)
        self.services.joins.answer(self.place, owners, [region["id"] for region in regions])
        return regions, max((mask.score for mask in masks), default=0.0)

    def _prompts(self, image: Image, waiting: Asked | None) -> tuple[list[Prompt], tuple[str, ...]]:
        """What to segment, and the ids of the rectangles that are answered thereby."""
        request, size = self.request, image.original_size
        if request.rectangles:
            chosen = self._of_several(request.rectangles)
            return [prompts.to_prompt(request, size, rectangle) for rectangle in chosen], request.prompt_ids
        clicks = prompts.to_prompt(request, size)
        joined = self._join(image, clicks, self._of_several(waiting.together)) if waiting else []
        if waiting and joined:
            return joined, (waiting.prompt_id,)
        if not clicks.point_labels.any():
            logger.info("Negative clicks alone, and no rectangle or region that they belong to: answered with nothing.")
        return [clicks], ()

    def _of_several(self, rectangles: tuple[Rectangle, ...]) -> tuple[Rectangle, ...]:
        return rectangles if self.services.settings.multi_box == "each" else rectangles[-1:]

    def _join(self, image: Image, clicks: Prompt, rectangles: tuple[Rectangle, ...]) -> list[Prompt]:
        """Each rectangle as a box with the clicks that belong to it, or nothing when none belongs to any.

        The newest rectangle has the clicks that belong to no other, too.
        """
        alone = replace(self.request, clicks=())
        boxes = [prompts.to_prompt(alone, image.original_size, rectangle) for rectangle in rectangles]
        belong = np.array([self._belong(image, clicks, box) for box in boxes])
        if not belong.any():
            return []
        belong[-1] |= ~belong.any(0)
        return [
            replace(box, points=clicks.points[chosen], point_labels=clicks.point_labels[chosen])
            for box, chosen in zip(boxes, belong, strict=True)
        ]

    def _belong(self, image: Image, clicks: Prompt, box: Prompt) -> NDArray[np.bool_]:
        """Which of the clicks lie in the box; a negative one may lie in the mask that the box alone has, too."""
        inside = geometry.in_box(clicks.points, box.boxes[0])
        if not inside.all():
            for mask in self.services.segmenter.segment(image, box):
                inside |= (clicks.point_labels == 0) & geometry.on_bitmap(clicks.points, mask.bitmap)
        return inside

    def _regions(self, masks: list[Mask]) -> Regions:
        """Regions at the size that the browser saw, which may be the same picture at another scale."""
        size = self.request.original_size
        fitted = [
            mask
            if size in (None, mask.bitmap.shape)
            else replace(mask, bitmap=geometry.resize_bitmap(mask.bitmap, size))
            for mask in masks
        ]
        return results.regions(fitted, self.request, self.label_config)


def _check_size(request: PromptRequest, max_pixels: int) -> None:
    height, width = request.original_size or (0, 0)
    if height * width > max_pixels:
        raise PromptError(
            f"The prompt says that its image has {width} × {height} pixels, more than the limit of {max_pixels}.",
            "Check the image, or raise SAM_MAX_IMAGE_PIXELS.",
        )
