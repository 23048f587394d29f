"""Which of the four masks is answered, and what is said of it."""

import numpy as np
import pytest

from sam_backend.sam.decoder import LowResMasks
from sam_backend.sam.masks import choose, stability_score
from sam_backend.sam.types import Prompt

ANSWER = LowResMasks(np.zeros((4, 8, 8), np.float32), np.array([0.99, 0.3, 0.8, 0.5], np.float32))
BOX = np.array([[1.0, 2.0, 30.0, 40.0]])


def points(*labels: int) -> Prompt:
    return Prompt(points=np.ones((len(labels), 2)), point_labels=np.array(labels))


def test_one_point_alone_gets_the_best_of_masks_one_to_three() -> None:
    assert choose(ANSWER, points(1)) == 2


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
def test_unambiguous_prompts_get_mask_zero(prompt: Prompt) -> None:
    assert choose(ANSWER, prompt) == 0


def test_stability_is_the_iou_of_the_mask_cut_higher_and_lower() -> None:
    logits = np.array([[5.0, 5.0, 0.5, -5.0]], np.float32)
    assert stability_score(logits, 0.0) == pytest.approx(2 / 3)
    assert stability_score(np.full((4, 4), -9.0, np.float32), 0.0) == 1.0
