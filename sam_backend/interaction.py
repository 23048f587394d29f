"""One click or rectangle, start to end: its image, what it is joined with or corrects, its masks, its regions."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sam_backend import metrics, question
from sam_backend.errors import PromptError
from sam_backend.joins import Place
from sam_backend.labelstudio import existing, overlay, prompts, results
from sam_backend.labelstudio.config import LabelConfig
from sam_backend.labelstudio.prompts import PromptRequest
from sam_backend.labelstudio.results import AnswerOptions
from sam_backend.pictures import Picture
from sam_backend.question import Question
from sam_backend.sam import geometry
from sam_backend.sam.types import Image, Mask, Patch
from sam_backend.services import Services

logger = logging.getLogger(__name__)

Regions = list[dict[str, Any]]
Answer = tuple[Regions, float]
Task = Mapping[str, Any]


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
    task: Task
    request: PromptRequest
    place: Place
    picture: Picture

    def answer(self) -> Answer:
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
        recent = self.services.recent.masks(self.place, self.request.prompt_ids)
        answer = self._correct(image, overlay.renewed(self.task, recent) if recent else self.task)
        if answer is None:
            asked = question.ask(self.services, self.request, image, waiting)
            is_cut = not any(click.is_positive for click in self.request.clicks) and not asked.rectangles
            answer = self._correct(image, overlay.extended(self.task, recent)) if is_cut and recent else None
            answer = answer or self._segment(image, asked)
        self.services.recent.remember(self.place, self.request.prompt_ids, overlay.painted(answer[0]))
        return answer

    def _segment(self, image: Image, asked: Question) -> Answer:
        masks = [mask for prompt in asked.prompts for mask in self.services.segmenter.segment(image, prompt)]
        with metrics.stage("rle"):
            regions = self._regions(masks, asked.region_id)
        self.services.joins.answer(self.place, asked.rectangles, [region["id"] for region in regions])
        if not regions and not any(click.is_positive for click in self.request.clicks):
            logger.info("Negative clicks alone, and no rectangle or region that they belong to: answered with nothing.")
        return regions, max((mask.score for mask in masks), default=0.0)

    def _correct(self, image: Image, task: Task) -> Answer | None:
        """The corrected region, when the clicks are for one that stands in the task, else None."""
        if not self.services.settings.correct:
            return None
        painted = existing.hit(task, self.request, self.label_config, image.original_size)
        if painted is None:
            return None
        prompt = prompts.to_prompt(self.request, image.original_size)
        masks = self.services.segmenter.correct(image, prompt, painted.bitmap)
        with metrics.stage("rle"):
            regions = [result for mask in masks for result in results.corrected(mask, painted.results)]
        return regions, max((mask.score for mask in masks), default=0.0)

    def _regions(self, masks: list[Mask], region_id: str | None) -> Regions:
        """Regions at the size that the browser saw, which may be the same picture at another scale.

        A single one has `region_id`, where that is given.
        """
        size = self.request.original_size
        fitted = [
            mask
            if size in (None, mask.patch.original_size)
            else replace(mask, patch=Patch.of(geometry.resize_bitmap(mask.bitmap, size)))
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
