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


def test_a_patch_keeps_nothing_but_a_bit_for_each_pixel_of_its_box() -> None:
    bitmap = np.zeros((3000, 4000), np.bool_)
    bitmap[100:900, 200:1000] = True
    patch = Patch.of(bitmap)
    assert patch.bits.nbytes == 800 * 800 / 8
    assert patch.bits.base is None
