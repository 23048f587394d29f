"""A finished mask, tidied: holes filled, islands dropped, parts without a click left out.

Parts of a mask are 8-connected: they touch by an edge or a corner. Holes are 4-connected, as what surrounds an
8-connected part must be: a gap that is open at a corner only is closed. Background that reaches the picture's border
is no hole.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.sam import geometry
from sam_backend.sam.patch import Patch

Bitmap = NDArray[np.bool_]
Pixels = NDArray[np.int64]

NEAR = 1
"""Pixels, along either axis, by which a click may miss what it is meant for."""


def clean(
    patch: Patch,
    points: NDArray[np.float64],
    point_labels: NDArray[np.int64],
    *,
    fill_holes: int = 0,
    drop_islands: int = 0,
    keep_clicked: bool = False,
) -> Patch:
    """Tidy a mask: first its holes, then its parts.

    Args:
        patch: the mask.
        points: float64 (N, 2), (x, y) in original pixels.
        point_labels: int64 (N,), 1 foreground, 0 background.
        fill_holes: fill holes of fewer pixels than this, unless a negative click is in them.
        drop_islands: drop parts of fewer pixels than this, unless a positive click is on them; never the largest.
        keep_clicked: keep only parts with a positive click on them; where there is none, only the largest part.

    Returns:
        The mask; `patch` itself where there is nothing to do. A mask that is not empty does not become empty.
    """
    if not (fill_holes > 1 or drop_islands > 1 or keep_clicked) or patch.is_empty:
        return patch
    covered = patch.shown
    if _is_one_part_without_holes(covered):
        return patch
    left, top = patch.rectangle[:2]
    pixels = geometry.pixels_under(points) - (left, top)
    if fill_holes > 1:
        _fill(covered, pixels[point_labels == 0], fill_holes)
    if drop_islands > 1 or keep_clicked:
        _drop(covered, pixels[point_labels == 1], drop_islands, keep_clicked=keep_clicked)
    return Patch.of(covered, left, top, patch.original_size)


def _is_one_part_without_holes(covered: Bitmap) -> bool:
    """Follows outlines, which costs a tenth of labeling pixels."""
    outlines, _ = cv2.findContours(covered.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    return len(outlines) == 1


def _fill(covered: Bitmap, negative: Pixels, below: int) -> None:
    """Fill, in place, the holes of a mask that touches all four sides of its array."""
    pieces, stats = _pieces(~covered, connectivity=4)
    left, top, width, height, area = stats.T
    inside = (left > 0) & (top > 0) & (left + width < covered.shape[1]) & (top + height < covered.shape[0])
    filled = inside & (area < below)
    filled[_at(pieces, negative)] = False
    _where(pieces, filled, covered, value=True)


def _drop(covered: Bitmap, positive: Pixels, below: int, *, keep_clicked: bool) -> None:
    """Drop, in place, parts of a mask."""
    pieces, stats = _pieces(covered, connectivity=8)
    area = stats[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    largest = np.arange(len(area)) == area.argmax()
    clicked = np.zeros(len(area), np.bool_)
    clicked[_at(pieces, positive)] = True
    clicked[0] = False
    kept = clicked | largest | (area >= below)
    if keep_clicked:
        kept = clicked if clicked.any() else largest
    _where(pieces, ~kept, covered, value=False)


def _pieces(mask: Bitmap, connectivity: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Each pixel's piece, int32 (h, w), 0 being what is not in the mask, and the pieces' statistics (pieces, 5)."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=connectivity)
    return np.asarray(pieces, np.int32), np.asarray(stats, np.int32)


def _at(pieces: NDArray[np.int32], pixels: Pixels) -> list[int]:
    """The pieces, 0 among them, within `NEAR` of pixels (N, 2), (x, y), some of which may lie outside."""
    found: set[int] = set()
    first, behind = (pixels - NEAR).clip(0), (pixels + NEAR + 1).clip(0)
    for (left, top), (right, bottom) in zip(first, behind, strict=True):
        found.update(pieces[top:bottom, left:right].ravel().tolist())
    return sorted(found)


def _where(pieces: NDArray[np.int32], chosen: Bitmap, covered: Bitmap, *, value: bool) -> None:
    """Set the pixels of the chosen pieces; piece 0 is never one of them."""
    chosen[0] = False
    if chosen.any():
        covered[chosen[pieces]] = value
