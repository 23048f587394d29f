"""The masks of a batch of points, filtered on the decoder's own grid: what is dropped is never brought to full size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.sam import geometry, masks
from sam_backend.sam.folder import ModelInfo
from sam_backend.sam.types import Embedding, Size
from sam_backend.sam.views import View

EDGE = 20.0
"""Pixels: a mask that comes so near to a crop's edge is cut off there. As in `is_box_near_crop_edge`."""

MARGIN = 2
"""Cells around a mask that take part in bringing it to full size."""

UNSURE = 0.02
"""Where the stability on the decoder's grid is so near to the threshold, it is measured on a finer one."""


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A mask that passed the filters.

    Attributes:
        point: (x, y) that it was asked for with, in original pixels.
        predicted_iou: what the model says of it.
        stability: its IoU with itself when the threshold is shifted.
        box: float64 (4,), XYXY in original pixels, to a cell of the decoder's grid.
        logits: float32 (h, w), the part of the decoder's grid that matters.
        corner: (row, column) of that part.
    """

    point: tuple[float, float]
    predicted_iou: float
    stability: float
    box: NDArray[np.float64]
    logits: NDArray[np.float32]
    corner: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What a view's masks are judged by.

    Attributes:
        info: the model's.
        view: the whole image or a crop.
        embedding: the view's.
        parameters: the thresholds.
    """

    info: ModelInfo
    view: View
    embedding: Embedding
    parameters: AutomaticSettings

    @property
    def shown(self) -> Size:
        """(h, w) of the part of the decoder's grid that shows the view and not the padding."""
        return geometry.low_res_size(self.info.low_res_size, self.embedding.input_size, self.info.image_size)

    def full_size(self, proposal: Proposal) -> NDArray[np.float32]:
        """The logits, float32 (H, W), at the view's size; what the proposal left out is far outside of the mask."""
        return self._upscaled(proposal, self.embedding.original_size)

    def stability(self, proposal: Proposal) -> float:
        """The mask's stability in input pixels, or at the view's size where that is smaller."""
        size = min(self.embedding.input_size, self.embedding.original_size)
        threshold, offset = self.info.mask_threshold, self.parameters.stability_score_offset
        return masks.stability_score(self._upscaled(proposal, size), threshold, offset)

    def _upscaled(self, proposal: Proposal, size: Size) -> NDArray[np.float32]:
        grid = np.full(self.info.low_res_size, proposal.logits.min(), np.float32)
        row, column = proposal.corner
        height, width = proposal.logits.shape
        grid[row : row + height, column : column + width] = proposal.logits
        return geometry.upscale(grid, self.embedding.input_size, size, self.info.image_size)


def propose(
    scene: Scene, point: NDArray[np.float64], logits: NDArray[np.float32], iou_predictions: NDArray[np.float32]
) -> list[Proposal]:
    """The masks of one point that pass the filters.

    Args:
        scene: what they are judged by.
        point: (2,), (x, y) in the view's pixels.
        logits: float32 (3, h, w), masks 1 to 3; nothing of it is kept.
        iou_predictions: float32 (3,).
    """
    likely = np.flatnonzero(is_likely(iou_predictions, scene.parameters))
    found = (_judge(scene, point, logits[index], float(iou_predictions[index])) for index in likely)
    return [proposal for proposal in found if proposal]


def is_likely(iou_predictions: NDArray[np.float32], parameters: AutomaticSettings) -> NDArray[np.bool_]:
    """Which masks (N,) the model predicts a good IoU for; all where the threshold is not above 0; NaN never is."""
    passes = (iou_predictions > parameters.pred_iou_thresh) | (parameters.pred_iou_thresh <= 0)
    return np.asarray(passes & np.isfinite(iou_predictions))


def _judge(scene: Scene, point: NDArray[np.float64], logits: NDArray[np.float32], iou: float) -> Proposal | None:
    height, width = scene.shown
    shown = logits[:height, :width]
    threshold, offset = scene.info.mask_threshold, scene.parameters.stability_score_offset
    stability = masks.stability_score(shown, threshold, offset)
    if stability < scene.parameters.stability_score_thresh - UNSURE:
        return None
    box = geometry.bounds(shown > threshold, scene.embedding.original_size)
    if not np.isfinite(box).all():
        return None
    box = box + np.tile(scene.view.rectangle[:2], 2)
    if is_near_edge(box, scene.view):
        return None
    rows, columns = geometry.cells_around(shown > threshold - offset, MARGIN)
    left, top = scene.view.rectangle[:2]
    proposal = Proposal(
        (float(point[0]) + left, float(point[1]) + top),
        iou,
        stability,
        box,
        logits[rows, columns].copy(),  # with cells of the padding: the picture's last pixels lie between both
        (rows.start, columns.start),
    )
    return proposal if _is_stable(scene, proposal) else None


def _is_stable(scene: Scene, proposal: Proposal) -> bool:
    """Whether the mask is stable enough, on a finer grid where the decoder's leaves a doubt."""
    least = scene.parameters.stability_score_thresh
    return least <= 0 or proposal.stability > least + UNSURE or scene.stability(proposal) >= least


def is_near_edge(box: NDArray[np.float64], view: View) -> bool:
    """Whether a box (4,), XYXY in original pixels, comes near an edge of the view that is none of the image's."""
    height, width = view.original_size
    at_view = np.abs(box - np.array(view.rectangle)) <= EDGE
    at_image = np.abs(box - np.array([0, 0, width, height])) <= EDGE
    return bool((at_view & ~at_image).any())
