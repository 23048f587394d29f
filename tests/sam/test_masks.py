"""Which of the four masks is answered, and what is said of it."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sam_backend.sam.decoder import LowResMasks
from sam_backend.sam.folder import ModelInfo, read_info
from sam_backend.sam.masks import SAME_IOU, Rule, choose, stability_score
from sam_backend.sam.types import Embedding, Prompt
from sam_backend.served_model import model_folder
from sam_backend.settings import Settings

INFO: ModelInfo = read_info(model_folder(Settings())).model_copy(
    update={"image_size": 32, "embedding_shape": (1, 4, 2, 2)}
)
WIDE = Embedding(
    {}, original_size=(20, 40), input_size=(16, 32), model_id="wide"
)  # rows 4 to 7 of the grid are padding
BOX = np.array([[1.0, 2.0, 30.0, 40.0]])
SCORES = (0.99, 0.3, 0.8, 0.5)
RULES: tuple[Rule, ...] = get_args(Rule)
EMPTY = np.zeros((8, 8), np.bool_)


def points(*labels: int) -> Prompt:
    return Prompt(points=np.ones((len(labels), 2)), point_labels=np.array(labels))


def rows(start: int, stop: int) -> NDArray[np.bool_]:
    mask = EMPTY.copy()
    mask[start:stop] = True
    return mask


def answer(*masks: NDArray[np.bool_], scores: tuple[float, ...] = SCORES) -> LowResMasks:
    """Masks 1 to 3; mask 0 is the largest and by SCORES the best, so that it shows where it is taken."""
    logits = np.where(np.stack([~EMPTY, *masks]), 4.0, -4.0).astype(np.float32)
    return LowResMasks(logits, np.array(scores, np.float32))


@pytest.mark.parametrize(("rule", "chosen"), [("best", [2]), ("smallest", [1]), ("largest", [3]), ("all", [2, 3, 1])])
def test_one_point_alone_is_answered_by_the_rule(rule: Rule, chosen: list[int]) -> None:
    assert choose(INFO, WIDE, answer(rows(0, 1), rows(0, 2), rows(0, 4)), points(1), rule) == chosen


def test_best_is_the_rule_where_none_is_given() -> None:
    assert choose(INFO, WIDE, answer(rows(0, 1), rows(0, 2), rows(0, 4)), points(1)) == [2]


def test_what_lies_in_the_padding_counts_for_nothing() -> None:
    masks = answer(rows(3, 8), rows(0, 2), rows(4, 8))
    assert choose(INFO, WIDE, masks, points(1), "smallest") == [1]
    assert choose(INFO, WIDE, masks, points(1), "largest") == [2]
    assert choose(INFO, WIDE, masks, points(1), "all") == [2, 1]


def test_the_threshold_is_the_models() -> None:
    higher = INFO.model_copy(update={"mask_threshold": 5.0})
    masks = answer(rows(0, 1), rows(0, 2), rows(0, 4))
    masks.logits[1] += 2
    assert choose(higher, WIDE, masks, points(1), "largest") == [1]


def test_an_empty_mask_is_chosen_only_where_all_are_empty() -> None:
    assert choose(INFO, WIDE, answer(rows(0, 2), EMPTY, rows(0, 1)), points(1), "smallest") == [3]
    assert choose(INFO, WIDE, answer(rows(0, 2), EMPTY, rows(0, 1)), points(1), "all") == [3, 1]
    for rule in RULES:
        assert choose(INFO, WIDE, answer(EMPTY, EMPTY, EMPTY), points(1), rule) == [2]


def test_of_near_duplicates_the_better_is_suggested() -> None:
    nearly = rows(0, 4)
    nearly[0, 0] = False
    assert choose(INFO, WIDE, answer(rows(0, 2), nearly, rows(0, 4)), points(1), "all") == [2, 1]


@given(st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4), st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_all_are_distinct_begin_with_the_best_and_leave_out_only_near_duplicates(
    scores: list[float], seed: int, flips: int
) -> None:
    rng = np.random.default_rng(seed)
    masks = [rng.random((8, 8)) < 0.5 for _ in range(3)]
    masks[1] = masks[0].copy()
    masks[1].flat[rng.integers(0, 64, flips)] ^= True
    given_masks = answer(*masks, scores=tuple(scores))
    chosen = choose(INFO, WIDE, given_masks, points(1), "all")
    assert chosen[0] == choose(INFO, WIDE, given_masks, points(1), "best")[0]
    assert len(set(chosen)) == len(chosen)
    assert [scores[index] for index in chosen] == sorted((scores[index] for index in chosen), reverse=True)
    shown = {index: masks[index - 1][:4] for index in (1, 2, 3)}
    for index in {1, 2, 3} - set(chosen):
        ious = [(shown[index] & shown[other]).sum() / (shown[index] | shown[other]).sum() for other in chosen]
        assert max(ious) >= SAME_IOU


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "prompt",
    [
        points(1, 1),
        points(1, 0),
        Prompt(boxes=BOX),
        Prompt(points=np.ones((1, 2)), point_labels=np.array([1]), boxes=BOX),
        Prompt(points=np.ones((1, 2)), point_labels=np.array([1]), mask_input=np.zeros((1, 8, 8), np.float32)),
    ],
    ids=["two points", "a point and a negative one", "a box", "a box and a point", "a point on an earlier mask"],
)
def test_unambiguous_prompts_get_mask_zero(prompt: Prompt, rule: Rule) -> None:
    assert choose(INFO, WIDE, answer(rows(0, 1), rows(0, 2), rows(0, 4)), prompt, rule) == [0]


def test_stability_is_the_iou_of_the_mask_cut_higher_and_lower() -> None:
    logits = np.array([[5.0, 5.0, 0.5, -5.0]], np.float32)
    assert stability_score(logits, 0.0) == pytest.approx(2 / 3)
    assert stability_score(np.full((4, 4), -9.0, np.float32), 0.0) == 1.0
