"""Where automatic mode looks: where segment-anything looks, and nowhere where there is nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.sam import grids
from sam_backend.sam.types import Size
from tests.support.official import amg

SIDES = st.integers(1, 5000)
SIZES = st.one_of(st.tuples(SIDES, SIDES), st.tuples(st.integers(1, 9), st.integers(1, 40)))


@given(size=SIZES, layers=st.integers(0, 4), overlap=st.floats(0, 0.999))
def test_crops_are_those_of_segment_anything_that_are_not_empty(size: Size, layers: int, overlap: float) -> None:
    boxes, numbers = amg().generate_crop_boxes(size, layers, overlap)
    crops = [(tuple(box), number) for box, number in zip(boxes, numbers, strict=True)]
    assert grids.crops(size, layers, overlap) == [
        (box, number) for box, number in crops if box[0] < box[2] and box[1] < box[3]
    ]


@given(size=SIZES, layers=st.integers(1, 4), overlap=st.floats(0, 0.999))
def test_each_layer_covers_the_image(size: Size, layers: int, overlap: float) -> None:
    crops = grids.crops(size, layers, overlap)
    for layer in range(1, layers + 1):
        rows, columns = np.zeros(size[0], np.bool_), np.zeros(size[1], np.bool_)
        of_layer = [crop for crop, number in crops if number == layer]
        for left, top, right, bottom in of_layer:
            rows[top:bottom] = columns[left:right] = True
        assert rows.all()
        assert columns.all()
        corners = {(left, top) for left, top, _, _ in of_layer}
        assert len(corners) == len({left for left, _ in corners}) * len({top for _, top in corners})


@given(a_side=st.integers(1, 40), layers=st.integers(0, 3), factor=st.integers(1, 3))
def test_points_are_those_of_segment_anything(a_side: int, layers: int, factor: int) -> None:
    parameters = AutomaticSettings(points_per_side=a_side, crop_n_layers=layers, crop_n_points_downscale_factor=factor)
    layers = max(layer for layer in range(layers + 1) if a_side >= factor**layer)
    for layer, expected in enumerate(amg().build_all_layer_point_grids(a_side, layers, factor)):
        assert np.array_equal(grids.points(parameters, layer), expected)


def test_a_layer_has_one_point_at_least() -> None:
    parameters = AutomaticSettings(points_per_side=4, crop_n_layers=3, crop_n_points_downscale_factor=4)
    assert grids.points(parameters, 3).tolist() == [[0.5, 0.5]]


def test_grids_of_ones_own_take_the_place_of_the_regular_ones() -> None:
    parameters = AutomaticSettings(crop_n_layers=1, point_grids=(((0.25, 1.0),), ()))
    assert grids.points(parameters, 0).tolist() == [[0.25, 1.0]]
    assert grids.points(parameters, 1).shape == (0, 2)


@given(arrays.arrays(np.float64, st.tuples(st.integers(0, 60), st.just(2)), elements=st.floats(0, 1)))
def test_the_scattered_order_has_each_point_once(grid: grids.Points) -> None:
    assert sorted(grids.scattered(grid)) == list(range(len(grid)))


@pytest.mark.parametrize("a_side", [8, 12, 20, 32, 33, 48])
def test_any_beginning_of_the_scattered_order_covers_the_image(a_side: int) -> None:
    grid = grids.regular(a_side)
    order = grids.scattered(grid)
    places = grids.regular(25)
    nearest = np.full(len(places), np.inf)
    for count, point in enumerate(grid[order], start=1):
        nearest = np.minimum(nearest, np.linalg.norm(places - point, axis=-1))
        assert nearest.max() * count**0.5 < 1.9 or count < 4, "of a regular grid it is .71"
