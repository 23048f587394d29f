"""What non-maximal suppression keeps. The reference stands in for torchvision's, which the official generator calls."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.official import _batched_nms
from sam_backend.sam.suppression import suppress

Floats = NDArray[np.float64]


@st.composite
def boxes_and_scores(draw: st.DrawFn) -> tuple[Floats, Floats]:
    coordinates = st.integers(0, 30)
    corners = draw(st.lists(st.tuples(*[coordinates] * 4), max_size=25))
    array = np.array(corners, np.float64).reshape(-1, 2, 2)
    low, high = array.min(1), array.max(1) + 1
    scores = draw(st.lists(st.integers(0, 4), min_size=len(array), max_size=len(array)))
    return np.concatenate([low, high], axis=1), np.array(scores, np.float64) / 4


@given(boxes_and_scores(), st.sampled_from([0.0, 0.3, 0.55, 0.7, 0.9, 1.0]))
def test_the_same_boxes_stay_as_with_segment_anything(drawn: tuple[Floats, Floats], threshold: float) -> None:
    boxes, scores = drawn
    expected = _batched_nms(torch.tensor(boxes), torch.tensor(scores), torch.zeros(len(boxes)), threshold)
    assert suppress(boxes, scores, threshold) == expected.tolist()


@given(boxes_and_scores(), st.floats(0, 1))
def test_what_stays_is_apart_and_what_went_is_near_a_better_one(drawn: tuple[Floats, Floats], threshold: float) -> None:
    boxes, scores = drawn
    kept = suppress(boxes, scores, threshold)
    assert (np.diff(scores[kept]) <= 0).all()
    for place, index in enumerate(kept):
        assert all(iou(boxes[index], boxes[other]) <= threshold for other in kept[:place])
    for index in set(range(len(boxes))) - set(kept):
        near = [other for other in kept if iou(boxes[index], boxes[other]) > threshold]
        assert any(scores[other] >= scores[index] for other in near)


def iou(one: Floats, other: Floats) -> float:
    shared = np.prod(np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0))
    return float(shared / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared))


def test_nothing_stays_of_nothing() -> None:
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.7) == []


def test_of_equals_the_first_stays() -> None:
    boxes = np.tile(np.array([[3.0, 3, 9, 9]]), (4, 1))
    assert suppress(boxes, np.full(4, 0.5), 0.7) == [0]


@pytest.mark.parametrize("box", [[5.0, 5, 5, 9], [5.0, 5, 5, 5]], ids=["flat", "a point"])
def test_a_box_without_area_overlaps_nothing(box: list[float]) -> None:
    assert suppress(np.array([box, box, [0, 0, 20, 20]]), np.array([0.9, 0.8, 0.7]), 0.0) == [0, 1, 2]
