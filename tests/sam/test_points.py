"""Points of a grid, decoded in batches: each point's masks are its own, whichever of them are drawn."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sam_backend.sam import decoder, points
from sam_backend.sam.types import Embedding, Image, Prompt
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings
from tests.support import scenes

POINTS = np.random.default_rng(0).uniform(0, 1, (11, 2)) * (300, 200)


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(Settings(precision="f32"))


@pytest.fixture(scope="module")
def embedding(segmenter: Segmenter) -> Embedding:
    return segmenter.embed(Image(scenes.draw(300, 200, scenes.STAGE).rgb, "points"))


@pytest.mark.parametrize(
    "wanted",
    [np.ones(11, np.bool_), np.zeros(11, np.bool_), np.arange(11) % 3 > 0, np.arange(11) == 10, np.arange(11) > 1],
    ids=["all", "none", "two of three", "the last", "a long stretch"],
)
def test_each_point_gets_the_masks_that_a_click_there_gets(
    segmenter: Segmenter, embedding: Embedding, wanted: NDArray[np.bool_]
) -> None:
    answers = points.decoding(segmenter.load(), embedding)(POINTS)
    drawn = {index: logits.copy() for index, logits in answers.draw(wanted)}
    assert list(drawn) == np.flatnonzero(wanted).tolist()
    for index, point in enumerate(POINTS):
        alone = decoder.decode(segmenter.load(), embedding, Prompt(point[None], np.ones(1, np.int64)))
        assert answers.iou_predictions[index] == pytest.approx(alone.iou_predictions[1:], abs=1e-4)
        if index in drawn:
            assert np.abs(drawn[index] - alone.logits[1:]).max() < 1e-3 * np.ptp(alone.logits)


@pytest.mark.parametrize("a_side", [1, 7, 32])
def test_a_sample_has_the_logits_that_are_drawn_there(segmenter: Segmenter, embedding: Embedding, a_side: int) -> None:
    """Cells in the order in which they are asked, neighbors and repetitions included."""
    side = 4 * embedding.features["image_embeddings"].shape[2]
    rows, columns = np.random.default_rng(a_side).integers(0, side, (2, 3 * a_side))
    answers = points.decoding(segmenter.load(), embedding)(POINTS)
    wanted = np.arange(11) % 4 != 1
    drawn = {index: logits[:, rows, columns] for index, logits in answers.draw(wanted)}
    sampled = {index: logits.copy() for index, logits in answers.sample(wanted, rows, columns)}
    assert list(sampled) == list(drawn)
    for index, logits in drawn.items():
        assert sampled[index].shape == (3, 3 * a_side)
        assert np.abs(sampled[index] - logits).max() < 1e-4 * np.ptp(logits)


def test_two_images_at_once_do_not_mix(segmenter: Segmenter, embedding: Embedding) -> None:
    """Each way to decode has memory of its own."""
    other = segmenter.embed(Image(scenes.draw(300, 200, scenes.STAGE).rgb[::-1].copy(), "upside down"))
    model = segmenter.load()
    expected = [
        {index: logits.copy() for index, logits in points.decoding(model, each)(POINTS).draw(np.ones(11, np.bool_))}
        for each in (embedding, other)
    ]
    both = [points.decoding(model, each)(POINTS).draw(np.ones(11, np.bool_)) for each in (embedding, other)]
    for index in range(11):
        for turn, found in enumerate(both):
            at, logits = next(found)
            assert at == index
            assert np.array_equal(logits, expected[turn][index])
