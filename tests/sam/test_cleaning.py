"""What tidying a mask fills, drops and leaves alone. SciPy says what holes and parts are."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import ndimage

from sam_backend.sam import cleaning
from sam_backend.sam.patch import Patch

Bitmap = NDArray[np.bool_]
Points = NDArray[np.float64]
Labels = NDArray[np.int64]

NO_POINTS, NO_LABELS = np.zeros((0, 2)), np.zeros(0, np.int64)
EIGHT = np.ones((3, 3), np.int64)

MASK = np.array(
    [[char == "#" for char in row] for row in (
        "............",
        ".######.....",
        ".#..#.#.....",
        ".######..##.",
        ".......#....",
        ".#..........",
        "............",
    )]
)  # fmt: skip
"""A part of 16 pixels, tied at a corner to the pixel at (7, 4), with holes of 2 and 1; islands of 2 and 1."""


def clean(bitmap: Bitmap, points: Points, point_labels: Labels, **options: Any) -> Bitmap:
    return cleaning.clean(Patch.of(bitmap), points, point_labels, **options).bitmap


@st.composite
def masks_and_clicks(draw: st.DrawFn) -> tuple[Bitmap, Points, Labels]:
    shape = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    bitmap = draw(arrays.arrays(np.bool_, shape))
    where = st.tuples(st.floats(-3, shape[1] + 3), st.floats(-3, shape[0] + 3))
    clicks = draw(st.lists(st.tuples(where, st.integers(0, 1)), max_size=5))
    points = np.array([at for at, _ in clicks], np.float64).reshape(-1, 2)
    return bitmap, points, np.array([label for _, label in clicks], np.int64)


def parts(bitmap: Bitmap) -> list[Bitmap]:
    pieces, count = ndimage.label(bitmap, EIGHT)
    return [pieces == 1 + index for index in range(count)]


def holes(bitmap: Bitmap) -> list[Bitmap]:
    pieces, count = ndimage.label(ndimage.binary_fill_holes(bitmap) & ~bitmap)
    return [pieces == 1 + index for index in range(count)]


def touched(piece: Bitmap, points: Points, labels: Labels, label: int) -> bool:
    """Whether a click of the label is in the piece or a pixel beside it."""
    return any(_cell(piece.shape, at)[piece].any() for at in points[labels == label])


def _cell(shape: tuple[int, ...], at: Points) -> Bitmap:
    rows, columns = np.indices(shape)
    x, y = np.floor(at)
    return (abs(columns - x) <= 1) & (abs(rows - y) <= 1)


def lost(before: Bitmap, after: Bitmap) -> Iterator[Bitmap]:
    """The parts of `before` that are gone; parts are kept or dropped whole."""
    for part in parts(before):
        assert after[part].all() or not after[part].any()
        if not after[part].any():
            yield part


# ------------------------------------------------------------------------------------------------------ examples


def test_nothing_is_done_and_nothing_copied_by_default() -> None:
    patch = Patch.of(MASK)
    assert cleaning.clean(patch, NO_POINTS, NO_LABELS) is patch


@pytest.mark.parametrize(("below", "filled"), [(1, 0), (2, 1), (3, 3)])
def test_holes_smaller_than_the_area_are_filled(below: int, filled: int) -> None:
    cleaned = clean(MASK, NO_POINTS, NO_LABELS, fill_holes=below)
    assert cleaned.sum() - MASK.sum() == filled


@pytest.mark.parametrize(("below", "dropped"), [(1, 0), (2, 1), (3, 3), (1000, 3)])
def test_islands_smaller_than_the_area_are_dropped_but_never_the_largest(below: int, dropped: int) -> None:
    cleaned = clean(MASK, NO_POINTS, NO_LABELS, drop_islands=below)
    assert MASK.sum() - cleaned.sum() == dropped
    assert cleaned[4, 7], "what is tied at a corner is no island"


def test_a_gap_that_is_open_at_a_corner_only_is_a_hole() -> None:
    ring = np.array([[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]], np.bool_)
    assert clean(ring, NO_POINTS, NO_LABELS, fill_holes=2)[1, 1]


def test_a_gap_at_the_pictures_border_is_no_hole() -> None:
    notched = np.ones((5, 5), np.bool_)
    notched[0, 2] = False
    assert not clean(notched, NO_POINTS, NO_LABELS, fill_holes=100)[0, 2]


def test_an_island_in_a_filled_hole_belongs_to_what_surrounds_it() -> None:
    target = np.ones((9, 9), np.bool_)
    target[1:8, 1:8] = False
    target[4, 4] = True
    both = clean(target, NO_POINTS, NO_LABELS, fill_holes=100, drop_islands=100)
    assert both.all()


def test_only_clicked_parts_are_kept() -> None:
    island = clean(MASK, np.array([[9.5, 3.5], [2.5, 1.5]]), np.array([1, 0]), keep_clicked=True)
    assert np.argwhere(island).tolist() == [[3, 9], [3, 10]]


@pytest.mark.parametrize("at", [(0.5, 6.5), (1.5, 5.5), (2.9, 6.9)])
def test_a_click_beside_a_part_counts(at: tuple[float, float]) -> None:
    assert np.argwhere(clean(MASK, np.array([at]), np.array([1]), keep_clicked=True)).tolist() == [[5, 1]]


@pytest.mark.parametrize(
    ("points", "labels"),
    [(NO_POINTS, NO_LABELS), (np.array([[1.5, 5.5]]), np.array([0])), (np.array([[11.5, 0.5]]), np.array([1]))],
    ids=["no click", "a negative click", "a click on nothing"],
)
def test_without_a_clicked_part_the_largest_is_kept(points: Points, labels: Labels) -> None:
    assert clean(MASK, points, labels, keep_clicked=True).sum() == 16


# ---------------------------------------------------------------------------------------------------- properties


@given(masks_and_clicks(), st.integers(0, 30))
def test_filling_fills_the_small_holes_without_a_negative_click_and_nothing_else(
    given_mask: tuple[Bitmap, Points, Labels], below: int
) -> None:
    bitmap, points, labels = given_mask
    expected = bitmap.copy()
    for hole in holes(bitmap):
        if hole.sum() < below and not touched(hole, points, labels, 0):
            expected |= hole
    assert np.array_equal(clean(bitmap, points, labels, fill_holes=below), expected)


@given(masks_and_clicks(), st.integers(0, 30))
def test_dropping_drops_small_parts_but_the_largest_and_the_clicked(
    given_mask: tuple[Bitmap, Points, Labels], below: int
) -> None:
    bitmap, points, labels = given_mask
    cleaned = clean(bitmap, points, labels, drop_islands=below)
    assert not (cleaned & ~bitmap).any()
    for part in lost(bitmap, cleaned):
        assert part.sum() < below
        assert not touched(part, points, labels, 1)
    kept = parts(cleaned)
    largest = max((part.sum() for part in kept), default=0)
    assert largest == max((part.sum() for part in parts(bitmap)), default=0)
    small = [part for part in kept if part.sum() < min(below, largest) and not touched(part, points, labels, 1)]
    assert small == []


@given(masks_and_clicks())
def test_what_is_kept_was_clicked_or_is_the_largest(given_mask: tuple[Bitmap, Points, Labels]) -> None:
    bitmap, points, labels = given_mask
    kept, all_parts = parts(clean(bitmap, points, labels, keep_clicked=True)), parts(bitmap)
    clicked = [part for part in all_parts if touched(part, points, labels, 1)]
    if clicked or not all_parts:
        assert np.array_equal(kept, clicked)
    else:
        assert [part.sum() for part in kept] == [max(part.sum() for part in all_parts)]


options = st.fixed_dictionaries(
    {}, optional={"fill_holes": st.integers(0, 30), "drop_islands": st.integers(0, 30), "keep_clicked": st.booleans()}
)


@given(masks_and_clicks(), options)
def test_cleaning_never_empties_a_mask_and_leaves_its_input_alone(
    given_mask: tuple[Bitmap, Points, Labels], chosen: dict[str, Any]
) -> None:
    bitmap, points, labels = given_mask
    before = bitmap.copy()
    cleaned = clean(bitmap, points, labels, **chosen)
    assert np.array_equal(bitmap, before)
    assert cleaned.any() == bitmap.any()
    assert cleaned.shape == bitmap.shape
    assert cleaned.dtype == np.bool_


@given(masks_and_clicks(), options)
def test_holes_are_filled_first_then_parts_are_chosen(
    given_mask: tuple[Bitmap, Points, Labels], chosen: dict[str, Any]
) -> None:
    fill_holes, rest = chosen.get("fill_holes", 0), {key: chosen[key] for key in chosen if key != "fill_holes"}
    filled = clean(*given_mask, fill_holes=fill_holes)
    after = clean(filled, *given_mask[1:], **rest)
    assert np.array_equal(clean(*given_mask, **chosen), after)
    assert np.array_equal(clean(after, *given_mask[1:], **rest), after)
