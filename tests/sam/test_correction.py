"""A click changes the part of a mask that it is on, as it says, and nothing else."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sam_backend import settings
from sam_backend.sam import correction, decoder, geometry, masks
from sam_backend.sam.model import CompiledSam
from sam_backend.sam.types import Embedding, Image, Mask, Patch, Prompt
from sam_backend.segmenter import Segmenter
from tests.support.scenes import iou

Bitmap = NDArray[np.bool_]


def points(*clicks: tuple[float, float]) -> NDArray[np.float64]:
    return np.array(clicks, np.float64).reshape(-1, 2)


def rectangle(left: int, top: int, right: int, bottom: int) -> Bitmap:
    bitmap = np.zeros((60, 90), np.bool_)
    bitmap[top:bottom, left:right] = True
    return bitmap


# --------------------------------------------------------------------------------------------------- what is taken over

STANDS = rectangle(20, 20, 50, 40)
LEFT, RIGHT = rectangle(5, 25, 20, 35), rectangle(50, 25, 80, 35)


def apply(after: Bitmap, *clicks: tuple[float, float, int], rim: int = 0) -> Bitmap:
    labels = np.array([label for *_, label in clicks], np.int64)
    return correction.apply(STANDS, after, points(*((x, y) for x, y, _ in clicks)), labels, rim)


def test_a_positive_click_adds_the_part_that_it_is_on_alone() -> None:
    assert np.array_equal(apply(STANDS | LEFT | RIGHT, (60.5, 30.5, 1)), STANDS | RIGHT)


def test_a_positive_click_takes_nothing_away() -> None:
    assert np.array_equal(apply(RIGHT, (60.5, 30.5, 1)), STANDS | RIGHT)


def test_a_negative_click_takes_away_the_part_that_it_is_on_alone() -> None:
    kept = rectangle(30, 20, 40, 40)
    assert np.array_equal(apply(kept | RIGHT, (25.5, 30.5, 0)), STANDS & (np.arange(90) >= 30))


def test_each_of_several_clicks_has_its_part() -> None:
    after = rectangle(30, 20, 50, 40) | LEFT | RIGHT
    expected = STANDS & (np.arange(90) >= 30) | RIGHT
    assert np.array_equal(apply(after, (60.5, 30.5, 1), (25.5, 30.5, 0)), expected)


@pytest.mark.parametrize(("x", "taken"), [(80.9, True), (81.9, False), (85.5, False)])
def test_a_part_may_be_two_pixels_from_its_click(x: float, *, taken: bool) -> None:
    assert apply(STANDS | RIGHT, (x, 30.5, 1)).any(where=RIGHT) == taken


def test_a_click_on_the_side_that_it_asks_for_changes_nothing() -> None:
    assert np.array_equal(apply(STANDS | LEFT, (35.5, 30.5, 1), (70.5, 30.5, 0)), STANDS)


def test_a_fatter_outline_elsewhere_does_not_come_along() -> None:
    """The part hangs on to a rim of two pixels around all that stands."""
    fatter = rectangle(18, 18, 52, 42) | rectangle(50, 20, 80, 40)
    added = apply(fatter, (65.5, 30.5, 1), rim=2) & ~STANDS
    assert added[20:40, 52:80].all()
    assert not added[:, :48].any()
    assert apply(fatter, (65.5, 30.5, 1))[19, 25]


def test_a_part_as_thin_as_a_rim_is_taken_over_where_it_was_clicked() -> None:
    thin = rectangle(50, 30, 80, 32)
    assert np.array_equal(apply(STANDS | thin, (60.5, 30.5, 1), rim=3), STANDS | thin)


@given(st.integers(0, 2**32), st.integers(0, 3))
def test_any_change_is_one_that_a_click_asks_for(seed: int, rim: int) -> None:
    random = np.random.default_rng(seed)
    before, after = (blobs(random) for _ in range(2))
    labels = random.integers(0, 2, random.integers(0, 4))
    clicks = random.uniform(-3, 45, (len(labels), 2))
    result = correction.apply(before, after, clicks, labels, rim)
    assert not (result & ~before & ~after).any()
    assert not (before & ~result & after).any()
    assert not (result & ~before).any() or labels.any()
    assert not (before & ~result).any() or not labels.all()


@given(st.integers(0, 2**32))
def test_any_part_that_changes_is_under_a_click(seed: int) -> None:
    random = np.random.default_rng(seed)
    before, after = (blobs(random) for _ in range(2))
    click, label = random.uniform(-3, 45, 2), int(random.integers(2))
    changed = before ^ correction.apply(before, after, click[None], np.array([label]))
    count, parts = cv2.connectedComponents(changed.astype(np.uint8), connectivity=4)
    assert count <= 2
    assert count == 1 or Patch.of(parts == 1).distance(click) <= correction.REACH


def blobs(random: np.random.Generator) -> Bitmap:
    noise = random.normal(size=(40, 40)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2) > 0)


# ------------------------------------------------------------------------------------------------------- with the model


@cache
def segmenter() -> Segmenter:
    return Segmenter(settings.load({}))


def scene() -> tuple[NDArray[np.uint8], Bitmap, Bitmap]:
    """Two things that touch, an orange disc and a blue bar, on a gray ground."""
    rgb = np.full((400, 600, 3), 150, np.uint8)
    one, other = np.zeros((2, 400, 600), np.uint8)
    cv2.circle(one, (220, 200), 90, 1, -1)
    cv2.rectangle(other, (300, 150), (450, 250), 1, -1)
    one[other > 0] = 0
    rgb[one > 0], rgb[other > 0] = (220, 120, 30), (30, 60, 200)
    return rgb, one > 0, other > 0


@pytest.fixture(scope="module")
def model() -> CompiledSam:
    return segmenter().load()


@pytest.fixture(scope="module")
def embedding() -> Embedding:
    return segmenter().embed(Image(scene()[0], "a disc and a bar"))


class Decoder:
    """Decodes as the segmenter does, and remembers what it was asked."""

    def __init__(self, model: CompiledSam, embedding: Embedding) -> None:
        self.asked: list[Prompt] = []
        self._model, self._embedding = model, embedding

    def __call__(self, prompt: Prompt) -> Mask:
        self.asked.append(prompt)
        answer = decoder.decode(self._model, self._embedding, prompt)
        [index] = masks.choose(self._model.info, self._embedding, answer, prompt)
        return masks.finish(self._model.info, self._embedding, answer, index)


Correct = Callable[..., Mask]


@pytest.fixture
def correct(model: CompiledSam, embedding: Embedding) -> Correct:
    def corrected(before: Bitmap, *clicks: tuple[float, float, int], decode: Decoder | None = None) -> Mask:
        prompt = Prompt(points(*((x, y) for x, y, _ in clicks)), np.array([label for *_, label in clicks], np.int64))
        return correction.correct(decode or Decoder(model, embedding), model.info, embedding, before, prompt)

    return corrected


def test_a_negative_click_cuts_a_thing_off(correct: Correct) -> None:
    _, disc, bar = scene()
    mask = correct(disc | bar, (400, 200, 0))
    assert iou(mask.bitmap, disc) > 0.9
    assert not mask.bitmap[200, 400]
    assert 0 < mask.score <= 1.2


def test_a_positive_click_adds_the_thing_that_it_is_on(correct: Correct) -> None:
    _, disc, bar = scene()
    mask = correct(disc, (400, 200, 1))
    assert iou(mask.bitmap, disc | bar) > 0.9


def test_a_positive_click_adds_the_missing_part(correct: Correct) -> None:
    _, disc, _ = scene()
    cut = disc & (np.arange(600) < 190)
    mask = correct(cut, (240, 200, 1))
    assert iou(mask.bitmap, disc) > 0.9


def test_a_negative_click_takes_background_away(correct: Correct) -> None:
    _, disc, _ = scene()
    blob = np.zeros((400, 600), np.uint8)
    cv2.circle(blob, (130, 120), 45, 1, -1)
    mask = correct(disc | (blob > 0), (115, 105, 0))
    assert iou(mask.bitmap, disc) > 0.93


def test_hand_work_elsewhere_stays_to_the_pixel(correct: Correct) -> None:
    _, disc, bar = scene()
    by_hand = np.zeros((400, 600), np.bool_)
    by_hand[340:380:2, 20:60:2] = True
    by_hand[180:220, 180:200] = disc[180:220, 180:200]
    before = (disc & ~by_hand) | bar | (by_hand & ~disc)
    after = correct(before, (400, 200, 0)).bitmap
    assert np.array_equal(after[:, :280], before[:, :280])
    assert not after[200, 400]


def test_clicks_correct_one_after_the_other(correct: Correct) -> None:
    _, disc, bar = scene()
    first = correct(disc, (400, 200, 1)).bitmap
    both = correct(disc, (400, 200, 1), (220, 200, 0)).bitmap
    assert np.array_equal(both, correct(first, (220, 200, 0)).bitmap)
    assert iou(both, bar) > 0.85


def test_a_click_on_the_side_that_it_asks_for_asks_no_model(
    correct: Correct, model: CompiledSam, embedding: Embedding
) -> None:
    _, disc, _ = scene()
    decode = Decoder(model, embedding)
    mask = correct(disc, (220, 200, 1), (400, 200, 0), decode=decode)
    assert np.array_equal(mask.bitmap, disc)
    assert (mask.score, mask.stability, decode.asked) == (1, 1, [])


def test_a_click_costs_two_decodes_at_most(correct: Correct, model: CompiledSam, embedding: Embedding) -> None:
    _, disc, _ = scene()
    for click in ((400.0, 200.0, 1), (3.0, 3.0, 1), (220.0, 200.0, 0), (605.0, 398.0, 1)):
        decode = Decoder(model, embedding)
        correct(disc, click, decode=decode)
        assert 1 <= len(decode.asked) <= 2


def test_many_clicks_have_a_bounded_cost(correct: Correct, model: CompiledSam, embedding: Embedding) -> None:
    _, disc, _ = scene()
    decode = Decoder(model, embedding)
    correct(disc, *[(5.0, 5.0, 1)] * 500, decode=decode)
    assert len(decode.asked) <= 2 * correction.MOST_CLICKS


@pytest.mark.parametrize("before", [(slice(200, 201), slice(220, 221)), (slice(0, 1), slice(0, 600))], ids=str)
@pytest.mark.parametrize("label", [0, 1])
def test_a_mask_smaller_than_a_cell_and_one_on_the_border(
    correct: Correct, before: tuple[slice, slice], label: int
) -> None:
    bitmap = np.zeros((400, 600), np.bool_)
    bitmap[before] = True
    after = correct(bitmap, (220.5, 202.5, 1), (220.5, 200.5, label), (220.5, 0.5, label)).bitmap
    assert after.any()


def test_the_mask_comes_back_as_it_is_shown_to_the_model(model: CompiledSam, embedding: Embedding) -> None:
    _, disc, bar = scene()
    shown = correction.as_logits(disc | bar, model.info, embedding)
    assert shown.shape == (1, *model.info.low_res_size)
    assert shown.dtype == np.float32
    logits = geometry.upscale(shown[0], embedding.input_size, embedding.original_size, model.info.image_size)
    assert iou(logits > 0, disc | bar) > 0.98
    assert shown.max() == correction.MAGNITUDE
    height, _ = geometry.low_res_size(model.info.low_res_size, embedding.input_size, model.info.image_size)
    assert (shown[0, height:] == -correction.MAGNITUDE).all()
