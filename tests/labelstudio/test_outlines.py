"""Polygons follow the edges of the mask's pixels, are simple, and have no more points than they may."""

import logging

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from sam_backend.labelstudio import outlines
from sam_backend.sam.patch import Patch
from tests.labelstudio.test_shapes import drawn

Bitmap = NDArray[np.bool_]


def _line(start: tuple[int, int], end: tuple[int, int], thickness: int) -> Bitmap:
    canvas = np.zeros((30, 40), np.uint8)
    cv2.line(canvas, start, end, 1, thickness)
    return canvas > 0


SIDES = st.integers(1, 16)
NOISE = arrays.arrays(np.bool_, st.tuples(SIDES, SIDES)).filter(lambda bitmap: bitmap.any())
ENDS = st.tuples(st.integers(0, 39), st.integers(0, 29))
LINES = st.builds(_line, ENDS, ENDS, st.integers(1, 4))
BLOBS = st.builds(
    lambda center, radii, angle, hole: drawn((30, 40), center, radii, angle) & ~drawn((30, 40), center, hole, 0),
    st.tuples(st.floats(0, 40), st.floats(0, 30)),
    st.tuples(st.floats(2, 30), st.floats(2, 30)),
    st.floats(0, 180),
    st.tuples(st.floats(0.1, 5), st.floats(0.1, 5)),
).filter(lambda bitmap: bitmap.any())
MASKS = NOISE | LINES | BLOBS
EXACT = 0


def parts(bitmap: Bitmap) -> list[shapely.Geometry]:
    """The mask's parts with their holes filled, as unions of pixels: slow and sure."""
    outside = cv2.connectedComponents(np.pad(~bitmap, 1, constant_values=True).view(np.uint8), connectivity=4)[1]
    filled = (outside != outside[0, 0])[1:-1, 1:-1]
    count, names = cv2.connectedComponents(filled.view(np.uint8), connectivity=8)
    places = [np.argwhere(names == name) for name in range(1, count)]
    return [
        shapely.union_all(shapely.box(place[:, 1], place[:, 0], place[:, 1] + 1, place[:, 0] + 1)) for place in places
    ]


def area_of_difference(rings: list[outlines.Ring], bitmap: Bitmap) -> float:
    ours, theirs = shapely.union_all([shapely.Polygon(ring) for ring in rings]), shapely.union_all(parts(bitmap))
    return float(ours.symmetric_difference(theirs).area)


@given(MASKS)
def test_an_outline_that_is_not_simplified_encloses_the_pixels(bitmap: Bitmap) -> None:
    """Exactly, but for the corners at which pixels touch: four of 1/32 of a pixel each."""
    rings = outlines.polygons(Patch.of(bitmap), EXACT, 10_000)
    crossings = (bitmap[1:, 1:] == bitmap[:-1, :-1]) & (bitmap[1:, :-1] == bitmap[:-1, 1:])
    crossings &= bitmap[1:, 1:] != bitmap[1:, :-1]
    if len(parts(bitmap)) <= outlines.MAX_PARTS:
        assert len(rings) == len(parts(bitmap))
        assert area_of_difference(rings, bitmap) <= crossings.sum() / 8 + 1e-9


@given(MASKS, st.floats(0, 5), st.integers(3, 200))
def test_every_polygon_is_simple_and_small_enough_and_inside_of_the_image(
    bitmap: Bitmap, tolerance: float, most_points: int
) -> None:
    rings = outlines.polygons(Patch.of(bitmap), tolerance, most_points)
    assert rings
    for ring in rings:
        polygon = shapely.Polygon(ring)
        assert polygon.is_valid
        assert polygon.exterior.is_simple
        assert polygon.area > 0
        assert 3 <= len(ring) <= most_points
        assert len(np.unique(ring, axis=0)) == len(ring)
        assert (ring >= 0).all()
        assert (ring <= bitmap.shape[::-1]).all()


@given(MASKS, st.floats(0, 5))
def test_simplified_outlines_stay_within_the_tolerance(bitmap: Bitmap, tolerance: float) -> None:
    exact, simple = (
        shapely.union_all([shapely.Polygon(ring) for ring in outlines.polygons(Patch.of(bitmap), step, 10_000)])
        for step in (EXACT, tolerance)
    )
    assert shapely.hausdorff_distance(exact.boundary, simple.boundary) <= tolerance + 1e-6
    assert exact.symmetric_difference(simple).area <= tolerance * exact.length
    assert exact.intersection(simple).area >= 0.7 * exact.area


def test_the_edge_of_the_image_and_a_single_pixel() -> None:
    [whole] = outlines.polygons(Patch.of(np.ones((30, 40), np.bool_)), 1, 200)
    assert {tuple(point) for point in whole} == {(0, 0), (0, 30), (40, 30), (40, 0)}
    bitmap = np.zeros((30, 40), np.bool_)
    bitmap[7, 39] = True
    [pixel] = outlines.polygons(Patch.of(bitmap), 5, 200)
    assert {tuple(point) for point in pixel} == {(39, 7), (39, 8), (40, 8), (40, 7)}


def test_pixels_that_touch_at_a_corner_are_one_part_and_holes_are_filled() -> None:
    diagonal = np.eye(9, dtype=np.bool_)
    assert len(outlines.polygons(Patch.of(diagonal), 1, 200)) == 1
    ring = np.ones((9, 9), np.bool_)
    ring[2:7, 2:7] = False
    [filled] = outlines.polygons(Patch.of(ring), EXACT, 200)
    assert shapely.Polygon(filled).area == 81


def test_a_large_object_keeps_its_shape() -> None:
    bitmap = drawn((150, 200), (100, 75), (60, 40), 30)
    [ring] = outlines.polygons(Patch.of(bitmap), 1, 200)
    assert len(ring) < 40
    assert area_of_difference([ring], bitmap) < 0.03 * bitmap.sum()
    [rough] = outlines.polygons(Patch.of(bitmap), 1, 12)
    assert len(rough) <= 12
    assert area_of_difference([rough], bitmap) < 0.08 * bitmap.sum()


def test_a_ring_that_cannot_be_simplified_to_so_few_points_becomes_its_hull() -> None:
    hook = np.array([(11, 0), (6, 2), (6, 5), (12, 9), (5, 11), (6, 7), (0, 7), (1, 12), (15, 9), (9, 3)])
    assert len(shapely.get_coordinates(shapely.simplify(shapely.Polygon(hook), 1e6))) - 1 > 3
    ring = outlines.simplified(hook, 1, 3)
    assert len(ring) == 3
    assert shapely.Polygon(ring).is_valid
    assert {tuple(point) for point in ring} <= {tuple(point) for point in hook}


def test_of_too_many_parts_the_largest_are_kept_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    bitmap = np.zeros((60, 60), np.bool_)
    bitmap[::3, ::3] = True
    bitmap[30:40, 30:45] = True
    with caplog.at_level(logging.INFO):
        rings = outlines.polygons(Patch.of(bitmap), 1, 200)
    assert len(rings) == outlines.MAX_PARTS
    assert shapely.Polygon(rings[0]).area >= 150
    assert f"the {outlines.MAX_PARTS} largest" in caplog.text
