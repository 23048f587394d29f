"""Low-resolution logits → a mask's runs, at full size along its outline alone.

Upscaling is linear between neighbors: where all four around are inside, or all outside, so is all that lies between
them. So the logits are brought to input pixels, where they are few, and from there to original pixels only between
those of which some are inside and some are not. The arithmetic is OpenCV's, to the bit: across, then down, each a
product and a sum that are rounded once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_backend.sam import geometry
from sam_backend.sam.patch import Patch, Size

Logits = NDArray[np.float32]
Numbers = NDArray[np.int64]

_MARGIN = 2
"""Cells around a mask that have a part in where its outline is."""

_TURN = 220
"""Pixels that are upscaled in the time that it takes to follow the outline past a cell, where no row is repeated."""


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    """Logits in input pixels around a mask, and where original pixels lie among them.

    Attributes:
        logits: float32 (h, w); outside along each side that is no side of the picture.
        rows: int64 (H,), the original rows that lie between these.
        above, weight: int64 and float32 (H,), the row of `logits` above each, and how near it is to the one below.
        columns: int64 (w + 1,), the first original column at or behind each, and behind the last.
        across: float32 (W,), how near each original column is to the one on its right.
        threshold: what is more is inside.
    """

    logits: Logits
    rows: Numbers
    above: Numbers
    weight: Logits
    columns: Numbers
    across: Logits
    threshold: float

    def mixed(self) -> Numbers:
        """Those of the logits, counted row by row, that differ from one to the right, below, or aslant below."""
        around = (self.logits > self.threshold).view(np.uint8)
        around[:, :-1] += around[:, 1:]
        around[:, -1] = 0
        around[:-1] += around[1:]
        around[-1] *= 2
        return np.flatnonzero(around & 3 != 0)

    def is_inside(self, column: int) -> NDArray[np.bool_]:
        """Whether each original row, bool (H,), is inside at a column of `logits`."""
        rows = np.stack([self.above, (self.above + 1).clip(max=len(self.logits) - 1)])
        low, high = self.logits[rows, column]
        return np.asarray(_between(low, high, self.weight) > self.threshold)


def trace(low_res: Logits, threshold: float, input_size: Size, original_size: Size, image_size: int) -> Patch:
    """The mask `geometry.upscale(...) > threshold`.

    Args:
        low_res: float32 (h, w) logits on the decoder's grid.
        threshold: what is more is inside.
        input_size: (H, W) of the picture in input pixels, padding excluded.
        original_size: (H, W) of the mask.
        image_size: side of the model's square input.
    """
    shown = geometry.low_res_size((low_res.shape[0], low_res.shape[1]), input_size, image_size)
    inside = low_res[: shown[0] + 1, : shown[1] + 1] > threshold
    if not inside.any():
        return Patch(np.zeros(0, np.int64), original_size)
    if original_size[1] < input_size[1] or _turns(inside) * _TURN > input_size[0] * original_size[1]:
        return Patch.of(geometry.upscale(low_res, input_size, original_size, image_size) > threshold)
    rows, columns = geometry.cells_around(inside, _MARGIN)
    grid = low_res.shape[0], low_res.shape[1]
    part, corner = geometry.upscale_part(
        low_res[rows, columns], (rows.start, columns.start), grid, input_size, image_size
    )
    return _traced(part, corner, threshold, input_size, original_size)


def _turns(inside: NDArray[np.bool_]) -> int:
    """How often cells differ from one beside or below."""
    across, down = inside[:, 1:] != inside[:, :-1], inside[1:] != inside[:-1]
    return int(np.count_nonzero(across)) + int(np.count_nonzero(down))


def _traced(part: Logits, corner: tuple[int, int], threshold: float, input_size: Size, original_size: Size) -> Patch:
    """The mask of which the `part` of the logits in input pixels that begins at `corner` (row, column) shows all."""
    (top, left), (height, width) = corner, part.shape
    above, weight = geometry.taps(input_size[0], original_size[0])
    before, across = geometry.taps(input_size[1], original_size[1])
    first, last = above.searchsorted([top, top + height])
    field = _Field(
        logits=part,
        rows=np.arange(first, last),
        above=above[first:last] - top,
        weight=weight[first:last],
        columns=before.searchsorted(np.arange(left, left + width + 1)),
        across=across,
        threshold=threshold,
    )
    found = [_crossings(field)]
    if left == 0:
        found.append(field.rows[field.is_inside(0)] * original_size[1])
    if left + width == input_size[1]:
        found.append((field.rows[field.is_inside(width - 1)] + 1) * original_size[1])
    at = np.concatenate(found)
    return Patch.at_changes(np.sort(at) if len(found) > 1 else at, original_size)


def _crossings(field: _Field) -> Numbers:
    """The original pixels that are the first on their side of the outline, counted row by row."""
    row, left = _along(field)
    height, width = field.logits.shape
    down = np.where(field.above < height - 1, width, 0).take(row)
    weight = field.weight.take(row)
    upper = field.logits.ravel().take(np.stack([left, left + 1]))
    lower = field.logits.ravel().take(np.stack([left + down, left + down + 1]))
    inside, beyond = _between(upper, lower, weight) > field.threshold
    crossed = np.flatnonzero(inside != beyond)
    row, left, weight, inside = row.take(crossed), left.take(crossed), weight.take(crossed), inside.take(crossed)
    column = left - field.above.take(row) * width
    first = field.columns.take(column)
    count = field.columns.take(column + 1) - first
    nth = np.arange(count.max(initial=0))[:, None]
    across = field.across.take(first + nth, mode="clip")
    before, behind = np.stack([upper.take(crossed, axis=1), lower.take(crossed, axis=1)], axis=1)[:, :, None]
    above, below = _between(before, behind, across)
    logits = _between(above, below, weight)
    stays = ((logits > field.threshold) == inside) & (nth < count)
    return np.asarray(field.rows.take(row) * field.across.size + first + np.count_nonzero(stays, axis=0))


def _along(field: _Field) -> tuple[Numbers, Numbers]:
    """Each original row, by its place in `field.rows`, with each of the logits above it that are `mixed`."""
    mixed = field.mixed()
    begin = mixed.searchsorted(np.arange(len(field.logits) + 1) * field.logits.shape[1])
    counts = np.diff(begin).take(field.above)
    row = np.repeat(np.arange(counts.size), counts)
    nth = np.arange(row.size) - np.repeat(np.cumsum(counts) - counts - begin.take(field.above), counts)
    return row, mixed.take(nth)


def _between(low: Logits, high: Logits, weight: Logits) -> Logits:
    """Values between two, `weight` of the way from one to the other, rounded as a fused product and sum is."""
    exact = (high - low).astype(np.float64) * weight
    exact += low
    return exact.astype(np.float32)
