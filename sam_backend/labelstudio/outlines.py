"""The outlines of a mask: one polygon for each connected part.

A mask's pixel (x, y) covers [x, x + 1) × [y, y + 1), and an outline runs along the edges of its pixels, so that before
it is simplified it encloses the part's pixels exactly. Pixels that touch at a corner are one part; there, where the two
sides of the outline would touch, each keeps a quarter of a pixel's distance. Label Studio's polygons have no holes, so
those of a mask are filled.
"""

import logging
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from sam_backend.sam.patch import Patch

logger = logging.getLogger(__name__)

Ring = NDArray[np.float64]

MAX_PARTS = 50
"""Most polygons of a mask; of more, the largest are kept: a region each for the specks of a noisy mask would bring the
annotator's page to a halt."""

_STEPS = np.array([[3, 2, 1], [4, -1, 0], [5, 6, 7]])  # [dy + 1, dx + 1]: from east by north, as the outline turns
_CORNERS = np.array([[1, 1], [1, 0], [0, 0], [0, 1]])  # where the sides east, north, west and south of a pixel begin
_GAP = 0.25


def polygons(patch: Patch, tolerance: float, most_points: int) -> list[Ring]:
    """The outlines of the mask's parts, largest first, at most `MAX_PARTS`.

    Args:
        patch: the mask, not empty.
        tolerance: pixels by which a simplified outline may leave the exact one. It is less for a thin part, a quarter
            of its mean thickness, so that none vanishes; and more where an outline has too many points otherwise.
        most_points: most points of an outline, at least 3.

    Returns:
        Rings (N, 2) of (x, y) in original pixels, 3 <= N <= most_points, the first point not repeated. None crosses or
        touches itself.
    """
    contours, _ = cv2.findContours(patch.shown.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    paths = [contour.reshape(-1, 2).astype(np.int32, copy=False) for contour in _largest(contours)]
    corner = np.array(patch.rectangle[:2])
    return [corner + simplified(outline(path), tolerance, most_points) for path in paths]


def outline(path: NDArray[np.int32]) -> Ring:
    """The edges of the pixels along a part's border, on the side away from the part.

    At each pixel, the neighbors from the one before to the one after, as the outline turns, lie outside; the four that
    share a side with the pixel give the outline an edge each, which begins at `_CORNERS`.

    Args:
        path: int (N, 2), (x, y) of the border's pixels as `cv2.findContours` orders them.

    Returns:
        float64 (M, 2), a simple ring whose neighboring edges are never in line.
    """
    before, after = _directions(np.roll(path, 1, 0) - path), _directions(np.roll(path, -1, 0) - path)
    between = (after - before - 1) % 8 if len(path) > 1 else np.array([8])
    first = before // 2 + 1
    counts = (between + before % 2) // 2
    nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    sides = (np.repeat(first, counts) + nth) % 4
    ring = np.repeat(path, counts, 0) + _CORNERS[sides]
    turns = sides != np.roll(sides, 1)
    return _parted(ring[turns].astype(np.float64))


def simplified(ring: Ring, tolerance: float, most_points: int) -> Ring:
    """Leave out points, as `polygons` says."""
    polygon = shapely.Polygon(ring)
    step = min(tolerance, polygon.area / polygon.length / 2)  # area / length is half of the mean thickness
    points = fewer = _simplify(ring, step)
    extent = np.ptp(ring, 0).max()
    while len(fewer) > most_points and step < extent:
        step = max(1.25 * step, 0.1)
        fewer = _simplify(points, step)
    return fewer if len(fewer) <= most_points else _hull(ring, most_points)


def _simplify(ring: Ring, step: float) -> Ring:
    """Keep the ring simple, and at least three points of it."""
    points: Ring = shapely.get_coordinates(shapely.simplify(shapely.Polygon(ring), step))[:-1]
    return points


def _hull(ring: Ring, most_points: int) -> Ring:
    """That many corners of the ring's convex hull: for the few rings that stay simple only with more points.

    Any corners of a convex polygon make one.
    """
    corners: Ring = shapely.get_coordinates(shapely.convex_hull(shapely.Polygon(ring)))[:-1]
    count = min(len(corners), most_points)
    return corners[np.arange(count) * len(corners) // count]


def _largest(contours: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Those of the largest parts; by Pick's theorem, a part has as many pixels, holes filled, as is sorted by."""
    if len(contours) > MAX_PARTS:
        logger.info("A mask has %d parts; the %d largest become polygons.", len(contours), MAX_PARTS)
    return sorted(contours, key=lambda contour: -cv2.contourArea(contour) - len(contour) / 2)[:MAX_PARTS]


def _directions(steps: NDArray[np.int32]) -> NDArray[np.int64]:
    directions: NDArray[np.int64] = _STEPS[steps[:, 1] + 1, steps[:, 0] + 1]
    return directions


def _parted(ring: Ring) -> Ring:
    """Where the ring comes to a point twice, cut the corners, so that it keeps a distance from itself."""
    _, which, counts = np.unique(ring, axis=0, return_inverse=True, return_counts=True)
    twice = counts[which.reshape(-1)] > 1
    if not twice.any():
        return ring
    back, ahead = (np.sign(np.roll(ring, shift, 0) - ring) for shift in (1, -1))
    pairs = np.stack([ring + twice[:, None] * _GAP * back, ring + twice[:, None] * _GAP * ahead], 1)
    kept = np.stack([np.ones_like(twice), twice], 1)
    parted: Ring = pairs[kept]
    return parted
