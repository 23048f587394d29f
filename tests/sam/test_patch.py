"""A mask that is kept is the mask that was given, in little memory."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from sam_backend.sam.patch import Patch
from tests.support.official import amg

Bitmap = NDArray[np.bool_]
BITMAPS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 20), st.integers(1, 20)))


@given(BITMAPS, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_mask_comes_back_where_it_was(bitmap: Bitmap, left: int, top: int, right: int, bottom: int) -> None:
    whole = np.pad(bitmap, ((top, bottom), (left, right)))
    patch = Patch.of(bitmap, left, top, (whole.shape[0], whole.shape[1]))
    assert patch.original_size == whole.shape
    assert np.array_equal(patch.bitmap, whole)
    assert patch.area == whole.sum()
    x0, y0, x1, y1 = patch.rectangle
    assert np.array_equal(patch.shown, whole[y0:y1, x0:x1])


@given(BITMAPS)
def test_the_bounding_box_is_that_of_segment_anything(bitmap: Bitmap) -> None:
    expected = amg().box_xyxy_to_xywh(amg().batched_mask_to_box(torch.tensor(bitmap)))
    assert list(Patch.of(bitmap).bbox) == expected.tolist()


@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (70, 1), (2, 3)])
def test_full_and_empty_masks_of_any_shape(shape: tuple[int, int]) -> None:
    full, empty = Patch.of(np.ones(shape, np.bool_)), Patch.of(np.zeros(shape, np.bool_))
    assert full.rectangle == (0, 0, shape[1], shape[0])
    assert full.bitmap.all()
    assert (empty.area, empty.rectangle, empty.bbox) == (0, (0, 0, 0, 0), (0, 0, 0, 0))
    assert not empty.bitmap.any()


def test_a_mask_may_be_a_view_of_another_array() -> None:
    random = np.random.default_rng(0).random((40, 60)) > 0.9
    for view in (random.T, random[::2, ::3], random[5:30, 7:11], random[::-1, ::-1]):
        assert np.array_equal(Patch.of(view).bitmap, view)


def test_a_patch_keeps_nothing_but_the_ends_of_its_runs() -> None:
    bitmap = np.zeros((3000, 4000), np.bool_)
    bitmap[100:900, 200:1000] = True
    patch = Patch.of(bitmap)
    assert patch.edges.size == 2 * 800
    assert patch.edges.base is None


@given(BITMAPS | BITMAPS.map(lambda bitmap: np.repeat(np.tile(bitmap, 9), 3, axis=1)))
def test_edges_are_where_the_flat_mask_changes(bitmap: Bitmap) -> None:
    """However wide its runs are, and where eight pixels look like the eight before them."""
    flat = np.concatenate([[False], bitmap.ravel(), [False]])
    patch = Patch.of(bitmap)
    assert patch.edges.tolist() == np.flatnonzero(flat[1:] != flat[:-1]).tolist()
    assert patch.is_empty == (not bitmap.any())


@given(BITMAPS, st.data())
def test_some_rows_of_a_mask(bitmap: Bitmap, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, bitmap.shape[0]))
    last = data.draw(st.integers(first, bitmap.shape[0]))
    expected = np.zeros_like(bitmap)
    expected[first:last] = bitmap[first:last]
    assert np.array_equal(Patch.of(bitmap).rows(first, last).bitmap, expected)


@given(BITMAPS)
def test_spans_are_the_runs_of_each_row(bitmap: Bitmap) -> None:
    painted = np.zeros_like(bitmap)
    for row, begin, end in zip(*Patch.of(bitmap).spans(), strict=True):
        assert begin < end
        assert not painted[row, begin:end].any()
        painted[row, begin:end] = True
    assert np.array_equal(painted, bitmap)


@given(BITMAPS, st.floats(-5, 25), st.floats(-5, 25))
def test_the_distance_is_that_to_the_nearest_pixel(bitmap: Bitmap, x: float, y: float) -> None:
    rows, columns = np.nonzero(bitmap)
    across, down = (np.maximum(0, np.maximum(low - at, at - low - 1)) for low, at in ((columns, x), (rows, y)))
    assert Patch.of(bitmap).distance(np.array([x, y])) == pytest.approx(np.hypot(across, down).min(initial=np.inf))


@given(BITMAPS)
def test_a_mask_says_which_pixels_it_holds(bitmap: Bitmap) -> None:
    rows, columns = np.mgrid[-2 : bitmap.shape[0] + 2, -2 : bitmap.shape[1] + 2]
    held = Patch.of(bitmap).holds(np.stack([columns.ravel(), rows.ravel()], axis=1))
    assert np.array_equal(held.reshape(rows.shape), np.pad(bitmap, 2))
