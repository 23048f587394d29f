"""One task of automatic mode, start to end: its images or boxes, their masks, one prediction."""

import functools
import hashlib
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sam_backend import metrics
from sam_backend.errors import PromptError
from sam_backend.labelstudio import choice, prompts, results
from sam_backend.labelstudio.addresses import shown
from sam_backend.labelstudio.boxes import Box
from sam_backend.labelstudio.regions import REGION_ID_PREFIX
from sam_backend.labelstudio.results import Region, Target
from sam_backend.preannotation.plan import Plan
from sam_backend.preannotation.spots import Spot, read
from sam_backend.sam import geometry
from sam_backend.sam.automatic import Found
from sam_backend.sam.types import Image, Patch
from sam_backend.segmenter import Segmenter

__all__ = ["Labeled", "Plan", "label", "predict"]

logger = logging.getLogger(__name__)

Task = Mapping[str, Any]
ImageOf = Callable[[str], Image]
Proceed = Callable[[], object]


def _proceed() -> None:
    """Go on."""


@dataclass(frozen=True, slots=True)
class Labeled:
    """A task's prediction.

    Attributes:
        prediction: `{"result": [...], "score": ..., "model_version": ...}`; its score is the mean of its masks'.
        regions: how many regions it has.
        left_out: how many masks the caps left out.
    """

    prediction: dict[str, Any]
    regions: int
    left_out: int


@dataclass(slots=True)
class _Sheet:
    """The regions of one image as they are written, under the cap on their RLEs."""

    plan: Plan
    new_id: Callable[[], str]
    regions: list[Region] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    numbers: int = 0
    too_long: int = 0

    def add(self, patch: Patch, score: float, target: Target, **more: Any) -> None:
        """Write one mask's regions, each with `more` in it, if they fit."""
        with metrics.stage("rle"):
            new = [region | more for region in results.written(patch, score, target, self.plan.options, self.new_id)]
        numbers = sum(len(region["value"].get("rle", ())) for region in new)
        cap = self.plan.automatic.max_rle
        if cap and self.numbers + numbers > cap:
            self.too_long += 1
            return
        self.numbers += numbers
        self.regions += new
        self.scores += [score] if new else []


def predict(segmenter: Segmenter, image_of: ImageOf, task: Task, plan: Plan) -> Labeled | None:
    """Label a task.

    Args:
        segmenter: the model.
        image_of: the upright image of an address in the task.
        task: Label Studio's, with `data`; in `boxes` mode with its annotations and predictions too.
        plan: what to do with it.

    Returns:
        Its prediction, equal for equal images, plans and models; None where there is nothing to label: `boxes` mode and
        no box, or mode off.

    Raises:
        TaskError: the task has no image.
        ImageError: an image could not be had or read.
        ModelError: OpenVINO failed.
    """
    spots = read(task, plan)
    return label(segmenter, image_of, spots, plan) if spots else None


def label(
    segmenter: Segmenter, image_of: ImageOf, spots: tuple[Spot, ...], plan: Plan, proceed: Proceed = _proceed
) -> Labeled:
    """Label what `spots.read` has read.

    Args:
        segmenter: the model.
        image_of: as for `predict`.
        spots: what to label.
        plan: what to do with it.
        proceed: called before each batch of points and each box; it may wait, or raise to end it.

    Raises:
        ImageError, ModelError: as `predict`.
    """
    version = plan.version(segmenter.model_version)
    regions: list[Region] = []
    scores: list[float] = []
    left_out = 0
    for spot in spots:
        image = image_of(spot.url)
        sheet = _Sheet(plan, functools.partial(next, _ids(version, image, spot)))
        too_many = _fill(sheet, segmenter, image, spot, proceed)
        _report(spot, too_many, sheet.too_long)
        regions += sheet.regions
        scores += sheet.scores
        left_out += too_many + sheet.too_long
    score = sum(scores) / len(scores) if scores else 0.0
    count = len({region["id"] for region in regions})
    return Labeled(results.prediction(regions, score, version), count, left_out)


def _fill(sheet: _Sheet, segmenter: Segmenter, image: Image, spot: Spot, proceed: Proceed) -> int:
    """Write the image's regions; how many masks `max_regions` left out."""
    if spot.boxes:
        for box in spot.boxes:
            proceed()
            _mask_box(sheet, segmenter, image, box)
        return 0
    found = segmenter.everything(image, sheet.plan.automatic, proceed)
    target = Target(sheet.plan.choices()[spot.to_name], spot.item_index)
    for mask in found.masks:
        sheet.add(mask.patch, mask.predicted_iou, target)
    if not found.masks:
        _report_none(spot, found)
    return found.left_out


def _report_none(spot: Spot, found: Found) -> None:
    logger.warning(
        "No mask of %s: of %d, the model predicts a low IoU for %d, and %d of the others are unstable. Lower "
        "pred_iou_thresh (SAM_PRED_IOU_THRESH) or stability_score_thresh (SAM_STABILITY_SCORE_THRESH).",
        shown(spot.url),
        3 * found.points,
        found.unlikely,
        found.unstable,
    )


def _mask_box(sheet: _Sheet, segmenter: Segmenter, image: Image, box: Box) -> None:
    """One mask in a box, with its labels; what cannot be is logged."""
    request, plan = box.request, sheet.plan
    try:
        masks = segmenter.segment(image, prompts.to_prompt(request, image.original_size))
    except PromptError as error:
        logger.warning("The box %r is left out: %s", box.name, error)
        return
    chosen = choice.choose(request, plan.label_config, plan.options)
    target = Target(chosen, request.item_index, request.image_rotation)
    for mask in masks:
        seen = _as_seen(mask.patch, box, plan.max_pixels)
        sheet.add(seen, mask.score, target, **_reference(box))


def _as_seen(patch: Patch, box: Box, max_pixels: int) -> Patch:
    """At the size at which a browser saw the image; a prediction's box may come from a detector's own size."""
    size = box.request.original_size
    if not box.is_drawn or size in (None, patch.original_size) or size[0] * size[1] > max_pixels:
        return patch
    return Patch.of(geometry.resize_bitmap(patch.bitmap, size))


def _reference(box: Box) -> dict[str, Any]:
    """What a mask's region says of the box that it is in."""
    return {"meta": {"box": box.request.region_id}} if box.request.region_id else {}


def _ids(version: str, image: Image, spot: Spot) -> Iterator[str]:
    """The ids of an image's regions: equal in each run, and in no other place of the task."""
    place = f"{version}\n{image.digest}\n{spot.to_name}\n{spot.item_index}"
    for index in itertools.count():
        yield REGION_ID_PREFIX + hashlib.sha256(f"{place}\n{index}".encode()).hexdigest()[:32]


def _report(spot: Spot, too_many: int, too_long: int) -> None:
    if too_many or too_long:
        logger.info(
            "Masks of %s were left out, %d by max_regions (SAM_MAX_REGIONS) and %d by max_rle (SAM_MAX_RLE).",
            shown(spot.url),
            too_many,
            too_long,
        )
