"""Which of a point's masks pass the filters, and that they come out of them whole. Logits are drawn by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sam_backend.sam import geometry
from sam_backend.sam.geometry import Rectangle
from sam_backend.sam.proposals import Proposal, Scene, is_near_edge, propose
from sam_backend.sam.types import Size
from sam_backend.sam.views import View
from tests.support import logits as drawn
from tests.support.official import amg

Floats = NDArray[np.float32]
POINT = np.array([5.0, 7.0])
SIZES = [(256, 256), (300, 400), (803, 599), (301, 2047), (3000, 2000), (40, 30), (1, 500), (500, 1), (1, 1)]


def passed(scene: Scene, *masks: Floats, ious: list[float] | None = None) -> list[Proposal]:
    predicted = np.array(ious or [0.95] * len(masks), np.float32)
    return propose(scene, POINT, np.stack(masks), predicted)


def official(scene: Scene, logits: Floats) -> Floats:
    """The logits at the view's size, as segment-anything brings them there."""
    embedding = scene.embedding
    return geometry.upscale(logits, embedding.input_size, embedding.original_size, scene.info.image_size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "share", [(0, 0, 1, 1), (0.3, 0.3, 0.8, 0.7), (-1, 0.4, 0.6, 2), (0.5, -1, 2, 0.6), (0.6, 0.6, 2, 2)]
)
def test_a_mask_comes_to_full_size_as_if_nothing_had_been_cut_off(size: Size, share: tuple[float, ...]) -> None:
    """Also at the picture's edges, where the decoder's grid goes on into the padding."""
    scene = drawn.scene(size, stability_score_thresh=0)
    left, top, right, bottom = np.array(share) * np.tile(size[::-1], 2)
    logits = drawn.box(size, left, top, right, bottom)
    expected = official(scene, logits) > 0
    if not expected.any():
        return
    [proposal] = passed(scene, logits)
    assert np.array_equal(scene.full_size(proposal) > 0, expected)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([(256, 256), (300, 400), (301, 2047), (803, 599)]))
def test_a_ragged_mask_comes_to_full_size_and_its_bounds_are_right(seed: int, size: Size) -> None:
    scene = drawn.scene(size, stability_score_thresh=0)
    logits = drawn.waves(seed)
    expected = official(scene, logits) > 0
    for proposal in passed(scene, logits):
        assert np.array_equal(scene.full_size(proposal) > 0, expected)
        left, top, right, bottom = amg().batched_mask_to_box(torch.tensor(expected)).tolist()
        pixels = max(1.0, max(size) / drawn.IMAGE_SIZE)
        assert np.abs(proposal.box - (left, top, right + 1, bottom + 1)).max() <= pixels


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 1.0]), st.sampled_from([(256, 256), (301, 700)]))
def test_the_same_masks_are_stable_as_with_segment_anything(seed: int, offset: float, size: Size) -> None:
    scene = drawn.scene(size, stability_score_thresh=0.7, stability_score_offset=offset)
    logits = drawn.waves(seed)
    score = float(amg().calculate_stability_score(torch.tensor(official(scene, logits)), 0.0, offset))
    if abs(score - 0.7) > 0.01:
        assert bool(passed(scene, logits)) == (score > 0.7)


MASK = drawn.box((256, 256), 50, 60, 150, 160)


@pytest.mark.parametrize(
    ("threshold", "kept"),
    [(0.88, [0.9, 0.89]), (0.89, [0.9]), (0.0, [0.9, 0.89, 0.5, -0.2]), (-1.0, [0.9, 0.89, 0.5, -0.2])],
)
def test_predicted_ious_count_above_a_threshold_that_is_above_0(threshold: float, kept: list[float]) -> None:
    ious = [0.9, 0.89, 0.5, float("nan"), -0.2]
    threshold = float(np.float32(threshold))
    found = passed(drawn.scene((256, 256), pred_iou_thresh=threshold), *[MASK] * 5, ious=ious)
    assert [proposal.predicted_iou for proposal in found] == pytest.approx(kept)


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.95])
@pytest.mark.parametrize(
    "logits",
    [
        np.full_like(MASK, -5),
        np.full_like(MASK, np.nan),
        drawn.box((128, 256), 0, 150, 256, 250),
    ],
    ids=["empty", "not numbers", "on the padding"],
)
def test_a_mask_without_a_pixel_in_the_picture_never_passes(logits: Floats, threshold: float) -> None:
    scene = drawn.scene((128, 256), stability_score_thresh=threshold, pred_iou_thresh=threshold)
    assert passed(scene, logits) == []


def test_an_unstable_mask_passes_where_stability_does_not_count() -> None:
    weak = drawn.box((256, 256), 50, 60, 150, 160, height=0.5)
    assert passed(drawn.scene((256, 256)), weak) == []
    assert len(passed(drawn.scene((256, 256), stability_score_thresh=0), weak)) == 1


def test_a_proposal_keeps_nothing_of_the_decoders_memory() -> None:
    answer = np.stack([MASK])
    [proposal] = propose(drawn.scene((256, 256)), POINT, answer, np.array([0.95], np.float32))
    before = proposal.logits.copy()
    answer[:] = -1
    assert np.array_equal(proposal.logits, before)
    assert proposal.logits.size < MASK.size / 4


def test_a_crops_mask_lies_in_the_image() -> None:
    scene = drawn.scene((600, 800), (300, 200, 556, 456))
    [proposal] = passed(scene, MASK)
    assert proposal.point == (305, 207)
    assert proposal.box == pytest.approx((350, 260, 450, 360), abs=2)


@st.composite
def views_and_boxes(draw: st.DrawFn) -> tuple[Rectangle, Size, NDArray[np.int64]]:
    def between(low: int, high: int) -> list[int]:
        return sorted(draw(st.lists(st.integers(low, high), min_size=2, max_size=2, unique=True)))

    size = (draw(st.integers(2, 300)), draw(st.integers(2, 300)))
    (left, right), (top, bottom) = between(0, size[1]), between(0, size[0])
    (x0, x1), (y0, y1) = between(left, right), between(top, bottom)
    return (left, top, right, bottom), size, np.array([x0, y0, x1, y1])


@given(views_and_boxes())
def test_masks_at_a_crops_edge_are_those_of_segment_anything(drawing: tuple[Any, Size, NDArray[np.int64]]) -> None:
    rectangle, (height, width), box = drawing
    view = View(drawn.image((1, 1)), rectangle, (height, width))
    inside = torch.tensor(box - np.tile(rectangle[:2], 2))[None]
    expected = amg().is_box_near_crop_edge(inside, list(rectangle), [0, 0, width, height])
    assert is_near_edge(box.astype(np.float64), view) == bool(expected)


@pytest.mark.parametrize(
    ("share", "kept"),
    [((0.3, 0.3, 0.6, 0.6), True), ((0.0, 0.3, 0.6, 0.6), False), ((0.3, 0.5, 0.6, 1.0), True)],
    ids=["inside", "at an inner edge", "at the image's edge"],
)
def test_a_mask_that_its_crop_cuts_off_is_dropped(share: tuple[float, ...], *, kept: bool) -> None:
    scene = drawn.scene((512, 600), (200, 256, 456, 512))
    assert bool(passed(scene, drawn.box((256, 256), *(256 * np.array(share))))) == kept
