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

UNSURE, IN_DOUBT = 0.04, 0.01
"""How far the stability may be off on the decoder's grid, and in input pixels."""

FINEST = 1024
"""Pixels on the longest side: a doubt is settled at the view's size, or at this one where that is larger."""


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """A mask that passed the filters.

    Attributes:
        point: (x, y) that it was asked for with, in original pixels.
        predicted_iou: what the model says of it.
        box: float64 (4,), XYXY in original pixels, right and bottom behind the last one.
        logits: float32 (h, w), the part of the decoder's grid that matters.
        corner: (row, column) of that part.
    """

    point: tuple[float, float]
    predicted_iou: float
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
        return self.upscaled(proposal.logits, proposal.corner, self.embedding.original_size)

    def upscaled(self, part: NDArray[np.float32], corner: tuple[int, int], size: Size) -> NDArray[np.float32]:
        """The logits, float32 (H, W), at a size of the view, of a part that begins at (row, column) of the grid."""
        grid = np.full(self.info.low_res_size, part.min(), np.float32)
        grid[corner[0] : corner[0] + part.shape[0], corner[1] : corner[1] + part.shape[1]] = part
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
    """A mask, if it passes: judged roughly on the decoder's grid, then in input pixels."""
    height, width = scene.shown
    shown = logits[:height, :width]
    threshold, offset = scene.info.mask_threshold, scene.parameters.stability_score_offset
    least = scene.parameters.stability_score_thresh
    if not (shown > threshold).any() or masks.stability_score(shown, threshold, offset) < least - UNSURE:
        return None
    rows, columns = geometry.cells_around(shown > threshold - offset, MARGIN)
    # With cells of the padding: the picture's last pixels lie between both.
    part, corner = logits[rows, columns], (rows.start, columns.start)
    fine, at = geometry.upscale_part(
        part, corner, scene.info.low_res_size, scene.embedding.input_size, scene.info.image_size
    )
    if not _is_stable(scene, part, corner, fine):
        return None
    box = _box(scene, fine > threshold, at)
    if box is None or is_near_edge(box, scene.view):
        return None
    left, top = scene.view.rectangle[:2]
    return Proposal((float(point[0]) + left, float(point[1]) + top), iou, box, part.copy(), corner)


def _is_stable(scene: Scene, part: NDArray[np.float32], corner: tuple[int, int], fine: NDArray[np.float32]) -> bool:
    """Whether the mask, a part of the grid and what it is in input pixels, is stable enough."""
    threshold, offset = scene.info.mask_threshold, scene.parameters.stability_score_offset
    least, size = scene.parameters.stability_score_thresh, scene.embedding.original_size
    stability = masks.stability_score(fine, threshold, offset)
    if least > 0 and abs(stability - least) <= IN_DOUBT:
        finest = min(size, geometry.input_size(size, FINEST))
        stability = masks.stability_score(scene.upscaled(part, corner, finest), threshold, offset)
    return stability >= least


def _box(scene: Scene, fine: NDArray[np.bool_], at: tuple[int, int]) -> NDArray[np.float64] | None:
    """Bounds in original pixels of a mask of which a part is seen at (row, column) in input pixels; None: empty."""
    inside = geometry.bounds(fine, (fine.shape[0], fine.shape[1])) + np.tile(at[::-1], 2)
    if np.isnan(inside).any():
        return None
    embedding = scene.embedding
    box = geometry.to_original(inside, embedding.input_size, embedding.original_size)
    return np.asarray(box + np.tile(scene.view.rectangle[:2], 2))


def is_near_edge(box: NDArray[np.float64], view: View) -> bool:
    """Whether a box (4,), XYXY in original pixels, comes near an edge of the view that is none of the image's."""
    height, width = view.original_size
    at_view = np.abs(box - np.array(view.rectangle)) <= EDGE
    at_image = np.abs(box - np.array([0, 0, width, height])) <= EDGE
    return bool((at_view & ~at_image).any())
