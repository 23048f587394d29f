"""What becomes of finished masks. segment-anything's functions say what regions and run lengths are."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as coco

from sam_backend.sam import tidying
from sam_backend.sam.patch import Patch
from tests.support.official import amg

Bitmap = NDArray[np.bool_]
BITMAPS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 16), st.integers(1, 16)))
SEVERAL = st.tuples(st.integers(0, 6), st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: arrays.arrays(np.bool_, shape)
)

# ------------------------------------------------------------------------------------------------- small regions


@given(BITMAPS, st.integers(1, 30))
def test_the_same_holes_and_islands_go_as_with_segment_anything(bitmap: Bitmap, least: int) -> None:
    expected, filled = amg().remove_small_regions(bitmap, least, "holes")
    expected, dropped = amg().remove_small_regions(expected, least, "islands")
    patch = Patch.of(bitmap)
    tidy = tidying.without_small_regions(patch, least)
    assert np.array_equal(tidy.bitmap, expected)
    assert (tidy is not patch) == (filled or dropped)


def test_holes_are_filled_before_islands_are_dropped() -> None:
    ring = np.ones((5, 5), np.bool_)
    ring[1:4, 1:4] = False
    ring = np.pad(ring, 20)
    tidy = tidying.without_small_regions(Patch.of(ring), 20)
    assert tidy.area == 25, "the ring alone has 16 pixels, with its hole it has 25"


# ------------------------------------------------------------------------------------------------- no shared pixel


def apart(bitmaps: Bitmap, least: float = 0) -> dict[int, Bitmap]:
    return {index: piece.bitmap for index, piece in tidying.apart([Patch.of(bitmap) for bitmap in bitmaps], least)}


@given(SEVERAL)
def test_each_pixel_goes_to_the_smallest_mask_that_has_it(bitmaps: Bitmap) -> None:
    pieces = apart(bitmaps)
    areas = bitmaps.sum((1, 2))
    for y, x in np.ndindex(bitmaps.shape[1:]):
        having = [index for index in range(len(bitmaps)) if bitmaps[index, y, x]]
        owners = [index for index, piece in pieces.items() if piece[y, x]]
        assert owners == ([min(having, key=lambda index: (areas[index], index))] if having else [])


@given(SEVERAL, st.integers(1, 12))
def test_what_too_few_pixels_are_left_of_leaves_them_to_larger_masks(bitmaps: Bitmap, least: int) -> None:
    pieces = apart(bitmaps, least)
    total = sum((piece.astype(int) for piece in pieces.values()), np.zeros(bitmaps.shape[1:], int))
    assert total.max(initial=0) <= 1
    assert all(piece.sum() >= least for piece in pieces.values())
    assert list(pieces) == sorted(pieces)
    for index in pieces:
        assert total[bitmaps[index]].all(), "no pixel of a mask that stays is lost"


def test_of_two_equal_masks_the_first_has_the_pixels() -> None:
    bitmaps = np.ones((2, 3, 3), np.bool_)
    assert list(apart(bitmaps)) == [0]


# ------------------------------------------------------------------------------------------------- records


@given(BITMAPS)
def test_run_lengths_are_those_of_segment_anything(bitmap: Bitmap) -> None:
    [expected] = amg().mask_to_rle_pytorch(torch.tensor(bitmap[None]))
    rle = tidying.segmentation(Patch.of(bitmap), "uncompressed_rle")
    assert rle == expected
    assert {type(value) for value in [*rle["size"], *rle["counts"]]} == {int}
    assert np.array_equal(amg().rle_to_mask(rle), bitmap)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
@given(BITMAPS)
def test_compressed_run_lengths_are_those_of_segment_anything(bitmap: Bitmap) -> None:
    [counts] = amg().mask_to_rle_pytorch(torch.tensor(bitmap[None]))
    rle = tidying.segmentation(Patch.of(bitmap), "coco_rle")
    assert rle == amg().coco_encode_rle(counts)
    assert isinstance(rle["counts"], str)
    assert np.array_equal(coco.decode(rle), bitmap)


def test_a_form_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match="polygons"):
        tidying.segmentation(Patch.of(np.ones((2, 2), np.bool_)), "polygons")


def test_without_pycocotools_the_other_forms_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    patch = Patch.of(np.ones((2, 2), np.bool_))
    assert tidying.segmentation(patch, "binary_mask").all()
    assert tidying.segmentation(patch, "uncompressed_rle") == {"size": [2, 2], "counts": [0, 4]}
    with pytest.raises(ImportError):
        tidying.segmentation(patch, "coco_rle")
