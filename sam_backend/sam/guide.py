"""Which points of a grid are worth decoding: all, or those that the ones before them have not explained.

The three masks of a point are its object, a part of it and a part of the part. Where all three lie, the next point
would find the same again; where only the largest lies, there may be more to find. So a point is explained when it lies
on all three masks of two points that were decoded: of two, because one of them may just miss the thresholds that the
other passes. For the same reason a point explains nothing when its masks are nearly good and none of them is. The
points are asked in an order that covers the image from the beginning.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sam_backend.sam import geometry, grids, masks
from sam_backend.sam.proposals import Scene

EXPLANATIONS = 2
"""How many decoded points must explain one that is skipped."""

NEARLY, NEARLY_STABLE = 0.8, 0.1
"""A mask is nearly good from this share of the least predicted IoU on, and so much below the least stability."""


class Guide:
    """Hands out one view's points in batches, each once at most.

    Args:
        grid: float64 (N, 2), (x, y) from 0 to 1 of the view.
        scene: the view; its parameters say how many points make a batch and whether explained ones are skipped.
    """

    def __init__(self, grid: NDArray[np.float64], scene: Scene) -> None:
        size = scene.view.image.original_size
        self._scene = scene
        self._guided = scene.parameters.guided
        self._points = grid * size[::-1]
        self._rows, self._columns = geometry.in_cells(self._points, size, scene.shown)
        self._open = np.ones(len(grid), np.bool_)
        self._explained = np.zeros(len(grid), np.int64)
        self._order = grids.scattered(grid) if self._guided else np.arange(len(grid))
        self.decoded = 0

    def batches(self) -> Iterator[NDArray[np.float64]]:
        """Points (B, 2); what is learned between two batches counts for the second."""
        size = self._scene.parameters.points_per_batch
        while len(waiting := self._order[(self._open & (self._explained < EXPLANATIONS))[self._order]]):
            batch = waiting[:size]
            self._open[batch] = False
            self.decoded += len(batch)
            yield self._points[batch]

    @property
    def cells(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Rows and columns (N,) of the decoder's grid whose logits it learns from; None when it learns nothing."""
        return (self._rows, self._columns) if self._guided else None

    def doubts(self, iou_predictions: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Of which points (B,) it must see all logits to judge them, by the predicted IoUs (B, 3)."""
        return np.asarray(self._guided & self._promising(iou_predictions).any(1))

    def learn(self, cells: NDArray[np.float32]) -> None:
        """Note what a point without a good or nearly good mask was answered: logits (3, N) in the `cells`."""
        self._explained += (cells > self._scene.info.mask_threshold).all(0)

    def learn_from(self, logits: NDArray[np.float32], iou_predictions: NDArray[np.float32], *, found: bool) -> None:
        """Note what a point was answered; nothing unless it learns.

        Args:
            logits: float32 (3, h, w), masks 1 to 3.
            iou_predictions: float32 (3,).
            found: whether one of them passed the filters.
        """
        if self._guided and (found or not self._is_nearly_good(logits, iou_predictions)):
            self.learn(logits[:, self._rows, self._columns])

    def _promising(self, iou_predictions: NDArray[np.float32]) -> NDArray[np.bool_]:
        return iou_predictions > NEARLY * self._scene.parameters.pred_iou_thresh

    def _is_nearly_good(self, logits: NDArray[np.float32], iou_predictions: NDArray[np.float32]) -> bool:
        parameters = self._scene.parameters
        height, width = self._scene.shown
        threshold, offset = self._scene.info.mask_threshold, parameters.stability_score_offset
        promising = logits[self._promising(iou_predictions), :height, :width]
        least = parameters.stability_score_thresh - NEARLY_STABLE
        return any(masks.stability_score(shown, threshold, offset) >= least for shown in promising)
