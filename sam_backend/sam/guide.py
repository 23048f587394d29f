"""Which points of a grid are worth decoding: all, or those that no good mask explains yet.

A point on a mask that was found already would find it again. But a mask may have parts with masks of their own: so a
point counts as explained only where the *smallest* good mask of some decoded point holds it, and not near that mask's
edge, where the model is in doubt. The points are asked in an order that covers the image from the beginning, so that
what is large is found early and explains most.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sam_backend.sam import geometry, grids
from sam_backend.sam.proposals import Proposal, Scene


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
        self._order = grids.scattered(grid) if self._guided else np.arange(len(grid))
        self.decoded = 0

    def batches(self) -> Iterator[NDArray[np.float64]]:
        """Points (B, 2); what is learned between two batches counts for the second."""
        size = self._scene.parameters.points_per_batch
        while len(waiting := self._order[self._open[self._order]]):
            batch = waiting[:size]
            self._open[batch] = False
            self.decoded += len(batch)
            yield self._points[batch]

    def learn(self, good: Sequence[Proposal]) -> None:
        """Note the good masks of one decoded point."""
        if not self._guided or not good:
            return
        smallest = min(good, key=lambda proposal: np.count_nonzero(proposal.logits > self._scene.info.mask_threshold))
        sure = smallest.logits > self._scene.info.mask_threshold + self._scene.parameters.stability_score_offset
        row, column = smallest.corner
        rows, columns = self._rows - row, self._columns - column
        height, width = sure.shape
        near = np.flatnonzero(self._open & (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width))
        self._open[near[sure[rows[near], columns[near]]]] = False
