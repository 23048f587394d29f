"""Everything on an image: a grid of points is decoded, and of the masks the good ones stay, each once.

Semantics, names and defaults are those of segment-anything's `SamAutomaticMaskGenerator`. Two things are done
differently, to the same end: filters run on the decoder's grid, so that only what stays is brought to full size; and
a mask is kept as the bits of its bounding box. Beyond it: a guided grid, a smallest and a largest area, a cap on the
number of masks, and masks that share no pixel.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.sam import grids, masks, tidying
from sam_backend.sam.geometry import Rectangle
from sam_backend.sam.guide import Guide
from sam_backend.sam.patch import Patch
from sam_backend.sam.points import Decode
from sam_backend.sam.proposals import Proposal, Scene, is_likely, propose
from sam_backend.sam.suppression import suppress
from sam_backend.sam.types import Image
from sam_backend.sam.views import View

OutputMode = Literal["binary_mask", "uncompressed_rle", "coco_rle"]
XYWH = tuple[int, int, int, int]

Open = Callable[[View], tuple[Scene, Decode]]
"""Encodes a view."""


@dataclass(frozen=True, slots=True, eq=False)
class AutomaticMask:
    """One mask.

    Attributes:
        patch: its pixels.
        predicted_iou: the IoU that the model predicts for it.
        point_coords: (x, y) of the point that it was found with, in original pixels.
        stability_score: its IoU with itself when the threshold is shifted.
        crop: (left, top, right, bottom) of the crop in which it was found, in original pixels.
    """

    patch: Patch
    predicted_iou: float
    point_coords: tuple[float, float]
    stability_score: float
    crop: Rectangle

    def record(self, output_mode: OutputMode = "binary_mask") -> dict[str, Any]:
        """The mask as `SamAutomaticMaskGenerator.generate` gives it.

        Returns:
            `segmentation` (bool (H, W), or COCO's RLE as a dict), `area`, `bbox` (XYWH), `predicted_iou`,
            `point_coords` ([[x, y]]), `stability_score`, `crop_box` (XYWH); all in original pixels.

        Raises:
            ImportError: `coco_rle` is asked for, and pycocotools is not installed.
        """
        left, top, right, bottom = self.crop
        return {
            "segmentation": tidying.segmentation(self.patch, output_mode),
            "area": self.patch.area,
            "bbox": list(self.patch.bbox),
            "predicted_iou": self.predicted_iou,
            "point_coords": [list(self.point_coords)],
            "stability_score": self.stability_score,
            "crop_box": [left, top, right - left, bottom - top],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found.

    Attributes:
        masks: best predicted IoU first.
        left_out: how many more `max_regions` left out.
        points: how many points were decoded; each has three masks.
        unlikely: how many of those masks `pred_iou_thresh` dropped.
        unstable: how many of the others were dropped by `stability_score_thresh`, at a crop's edge, or as empty.
    """

    masks: tuple[AutomaticMask, ...]
    left_out: int = 0
    points: int = 0
    unlikely: int = 0
    unstable: int = 0


def generate(image: Image, parameters: AutomaticSettings, views: Iterable[tuple[View, int]], open_view: Open) -> Found:
    """Find everything.

    Args:
        image: the upright image.
        parameters: as `SamAutomaticMaskGenerator` takes them, and more.
        views: the image and its crops, each with the number of its layer.
        open_view: encodes one; called once for each.

    Raises:
        ModelError: OpenVINO failed.
    """
    found: list[AutomaticMask] = []
    counts = np.zeros(3, np.int64)
    too_many = 0
    for view, layer in views:
        scene, decode = open_view(view)
        proposals, counted = _in_view(scene, decode, grids.points(parameters, layer))
        most = parameters.max_regions if _is_capped_at_once(parameters) else len(proposals)
        found += [_finished(scene, proposal) for proposal in proposals[:most]]
        too_many += max(0, len(proposals) - most)
        counts += counted
    if parameters.crop_n_layers > 0:
        found = _once(found, [-_area(mask.crop) for mask in found], parameters.crop_nms_thresh)
    if parameters.min_mask_region_area > 0:
        found = _tidied(found, parameters)
    points, unlikely, unstable = counts.tolist()
    chosen = _chosen(image, found, parameters)
    left_out = chosen.left_out + too_many
    return replace(chosen, left_out=left_out, points=points, unlikely=unlikely, unstable=unstable)


def _is_capped_at_once(parameters: AutomaticSettings) -> bool:
    """Whether `max_regions` counts before masks are brought to full size: where nothing after it drops any."""
    drops = parameters.crop_n_layers or parameters.min_mask_region_area or parameters.min_area
    return bool(parameters.max_regions) and not drops and parameters.max_area >= 1


def _in_view(scene: Scene, decode: Decode, grid: NDArray[np.float64]) -> tuple[list[Proposal], NDArray[np.int64]]:
    """The masks of a view that stay, best first; and `Found`'s points, unlikely and unstable."""
    guide = Guide(grid, scene)
    proposals: list[Proposal] = []
    likely = 0
    for batch in guide.batches():
        answers = decode(batch)
        hopes = is_likely(answers.iou_predictions, scene.parameters)
        likely += int(hopes.sum())
        seen = np.asarray(hopes.any(1) | guide.doubts(answers.iou_predictions))
        for index, logits in answers.draw(seen):
            ious = answers.iou_predictions[index]
            good = propose(scene, batch[index], logits, ious)
            guide.learn_from(logits, ious, found=bool(good))
            proposals += good
        if guide.cells:
            for _, cells in answers.sample(~seen, *guide.cells):
                guide.learn(cells)
    counts = np.array([guide.decoded, 3 * guide.decoded - likely, likely - len(proposals)])
    if not proposals:
        return [], counts
    boxes = np.array([proposal.box for proposal in proposals])
    scores = np.array([proposal.predicted_iou for proposal in proposals])
    kept = suppress(boxes, scores, scene.parameters.box_nms_thresh)
    return [proposals[index] for index in kept], counts


def _finished(scene: Scene, proposal: Proposal) -> AutomaticMask:
    """A proposal at full size; its stability is measured there, as segment-anything does."""
    logits, threshold = scene.full_size(proposal), scene.info.mask_threshold
    left, top = scene.view.rectangle[:2]
    return AutomaticMask(
        patch=Patch.of(logits > threshold, left, top, scene.view.original_size),
        predicted_iou=proposal.predicted_iou,
        point_coords=proposal.point,
        stability_score=masks.stability_score(logits, threshold, scene.parameters.stability_score_offset),
        crop=scene.view.rectangle,
    )


def _once(found: list[AutomaticMask], scores: Sequence[float], threshold: float) -> list[AutomaticMask]:
    """Without those whose box is nearly that of one with a better score."""
    boxes = np.array([mask.patch.rectangle for mask in found], np.float64).reshape(-1, 4)
    return [found[index] for index in suppress(boxes, np.array(scores, np.float64), threshold)]


def _area(rectangle: Rectangle) -> int:
    left, top, right, bottom = rectangle
    return (right - left) * (bottom - top)


def _tidied(found: list[AutomaticMask], parameters: AutomaticSettings) -> list[AutomaticMask]:
    """Without small holes and islands; a mask that had none is preferred to one that had some."""
    tidy = [tidying.without_small_regions(mask.patch, parameters.min_mask_region_area) for mask in found]
    changed = [replace(mask, patch=patch) for mask, patch in zip(found, tidy, strict=True)]
    untouched = [float(mask.patch is patch) for mask, patch in zip(found, tidy, strict=True)]
    return _once(changed, untouched, max(parameters.box_nms_thresh, parameters.crop_nms_thresh))


def _chosen(image: Image, found: list[AutomaticMask], parameters: AutomaticSettings) -> Found:
    """Within the limits of area and number, best first."""
    height, width = image.original_size
    least, most = parameters.min_area * height * width, parameters.max_area * height * width
    fitting = [mask for mask in found if mask.patch.area > 0 and least <= mask.patch.area <= most]
    fitting.sort(key=lambda mask: -mask.predicted_iou)
    kept = fitting[: parameters.max_regions or None]
    left_out = len(fitting) - len(kept)
    if not parameters.overlapping:
        pieces = tidying.apart([mask.patch for mask in kept], least)
        kept = [replace(kept[index], patch=piece) for index, piece in pieces]
    return Found(tuple(kept), left_out)
