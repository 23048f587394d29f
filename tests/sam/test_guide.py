"""Which points are decoded: each once, or those that others have not explained. Logits are drawn by hand."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam_backend.sam import grids
from sam_backend.sam.guide import EXPLANATIONS, Guide
from tests.support import logits as drawn

SIZE = (200, 256)
GOOD = np.array([0.95, 0.95, 0.95], np.float32)
BAD = np.array([0.1, 0.1, 0.1], np.float32)

Floats = NDArray[np.float64]


def guide(a_side: int, **parameters: Any) -> Guide:
    return Guide(grids.regular(a_side), drawn.scene(SIZE, **parameters))


def three(*shares: tuple[float, float, float, float]) -> NDArray[np.float32]:
    """Three masks, rectangles in shares of the picture."""
    return np.stack([drawn.box(SIZE, *(np.array(share) * np.tile(SIZE[::-1], 2))) for share in shares])


LEFT = (0.0, 0.0, 0.5, 1.0)
ALL = (0.0, 0.0, 1.0, 1.0)
NOWHERE = np.full((3, drawn.GRID, drawn.GRID), -8, np.float32)


def test_the_full_grid_is_asked_row_by_row_in_batches() -> None:
    full = guide(5, points_per_batch=7)
    batches = list(full.batches())
    assert [len(batch) for batch in batches] == [7, 7, 7, 4]
    assert np.array_equal(np.concatenate(batches), grids.regular(5) * SIZE[::-1])
    assert full.decoded == 25


def test_the_full_grid_learns_nothing() -> None:
    full = guide(4, points_per_batch=2)
    for batch in full.batches():
        for _ in batch:
            full.learn_from(three(ALL, ALL, ALL), GOOD, found=True)
    assert full.decoded == 16


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("a_side", [1, 3, 12])
def test_where_nothing_is_explained_each_point_is_asked_once(a_side: int, *, guided: bool) -> None:
    asked = guide(a_side, guided=guided, points_per_batch=4)
    points = []
    for batch in asked.batches():
        points += batch.tolist()
        for _ in batch:
            asked.learn_from(NOWHERE, GOOD, found=True)
    assert sorted(points) == sorted((grids.regular(a_side) * SIZE[::-1]).tolist())
    assert asked.decoded == a_side**2


@pytest.mark.parametrize("guided", [False, True])
def test_a_grid_without_points_asks_nothing(*, guided: bool) -> None:
    empty = Guide(np.zeros((0, 2)), drawn.scene(SIZE, guided=guided))
    assert list(empty.batches()) == []
    assert empty.decoded == 0


def points_after(answers: list[tuple[NDArray[np.float32], NDArray[np.float32], bool]]) -> Floats:
    """The points of 8×8 that are still asked after a first batch that was answered so."""
    asked = guide(8, guided=True, points_per_batch=len(answers))
    batches = asked.batches()
    next(batches)
    for logits, ious, found in answers:
        asked.learn_from(logits, ious, found=found)
    return np.concatenate([np.zeros((0, 2)), *batches])


def test_points_on_all_masks_of_two_others_are_skipped() -> None:
    answer = (three(LEFT, LEFT, ALL), GOOD, True)
    left = points_after([answer] * EXPLANATIONS)
    assert (left[:, 0] > SIZE[1] / 2).all()
    assert 32 - EXPLANATIONS <= len(left) <= 32


def test_one_explanation_is_not_enough() -> None:
    assert len(points_after([(three(LEFT, LEFT, LEFT), GOOD, True), (NOWHERE, GOOD, True)])) == 62


def test_a_point_without_a_good_mask_explains_others_too() -> None:
    assert len(points_after([(three(ALL, ALL, ALL), BAD, False)] * 2)) == 0


def test_a_point_whose_masks_are_nearly_good_explains_nothing() -> None:
    nearly = np.array([0.1, 0.8, 0.1], np.float32)
    assert len(points_after([(three(ALL, ALL, ALL), nearly, False)] * 2)) == 62


def test_only_points_with_a_promising_mask_must_be_seen_whole() -> None:
    ious = np.stack([BAD, GOOD, np.array([0.1, 0.8, 0.1]), np.full(3, np.nan)]).astype(np.float32)
    assert guide(4, guided=True).doubts(ious).tolist() == [False, True, True, False]
    assert not guide(4).doubts(ious).any()


def test_the_other_points_cells_teach_the_same() -> None:
    asked, other = guide(8, guided=True), guide(8, guided=True)
    logits = three(LEFT, LEFT, ALL)
    assert asked.cells
    for _ in range(EXPLANATIONS):
        asked.learn_from(logits, BAD, found=False)
        other.learn(logits[..., *asked.cells])
    assert np.array_equal(np.concatenate([*asked.batches()]), np.concatenate([*other.batches()]))
    assert asked.decoded == 32
    assert guide(8).cells is None


def test_nearly_good_needs_stability_too() -> None:
    weak = np.stack([drawn.box(SIZE, 0, 0, 256, 200, height=0.5)] * 3)
    assert len(points_after([(weak, GOOD, False)] * 2)) == 0
