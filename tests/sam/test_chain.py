"""Refinement: which prompts are decoded in which order, and that the answer is a function of them alone."""

from dataclasses import replace

import numpy as np
import pytest

from sam_backend.sam import chain
from sam_backend.sam.types import Prompt

BOX = np.array([[10.0, 10, 60, 50]])


def clicks(*labels: int) -> Prompt:
    points = np.array([(10.0 + 7 * n, 20.0 + 5 * n) for n in range(len(labels))]).reshape(-1, 2)
    return Prompt(points=points, point_labels=np.array(labels, np.int64))


def counts(prompt: Prompt) -> list[int]:
    return [len(step.points) for step in chain.steps(prompt)]


def test_each_click_is_a_step_with_all_before_it() -> None:
    steps = chain.steps(clicks(1, 0, 1))
    assert [step.point_labels.tolist() for step in steps] == [[1], [1, 0], [1, 0, 1]]
    assert steps[1].points.tolist() == clicks(1, 0, 1).points[:2].tolist()


def test_negative_clicks_before_the_first_positive_one_wait_for_it() -> None:
    assert counts(clicks(0, 0, 1, 0)) == [3, 4]


def test_a_box_is_asked_alone_first_and_stays() -> None:
    steps = chain.steps(replace(clicks(0, 1), boxes=BOX))
    assert [len(step.points) for step in steps] == [0, 1, 2]
    assert all(step.boxes.tolist() == BOX.tolist() for step in steps)


def test_a_mask_to_refine_belongs_to_the_first_step() -> None:
    steps = chain.steps(replace(clicks(0, 1), mask_input=np.zeros((1, 4, 4), np.float32)))
    assert [len(step.points) for step in steps] == [1, 2]
    assert [step.mask_input is None for step in steps] == [False, True]


@pytest.mark.parametrize("prompt", [clicks(1), replace(clicks(), boxes=BOX)], ids=["one click", "a box alone"])
def test_one_prompt_is_one_step(prompt: Prompt) -> None:
    [step] = chain.steps(prompt)
    assert chain.key(step) == chain.key(prompt)


def test_a_chain_has_an_end() -> None:
    steps = chain.steps(clicks(*[1] * 500))
    assert len(steps) == chain.MOST_STEPS
    assert [len(step.points) for step in steps[-2:]] == [chain.MOST_STEPS - 1, 500]


def test_what_points_at_nothing() -> None:
    assert chain.is_empty(clicks())
    assert chain.is_empty(clicks(0, 0))
    assert not chain.is_empty(clicks(0, 1))
    assert not chain.is_empty(Prompt(boxes=BOX))
    assert not chain.is_empty(replace(clicks(0), mask_input=np.zeros((1, 4, 4), np.float32)))


def test_different_prompts_have_different_keys() -> None:
    mask = np.zeros((1, 4, 4), np.float32)
    asked = clicks(1, 1)
    others = [
        clicks(1, 0),
        clicks(1),
        replace(asked, boxes=BOX),
        replace(asked, mask_input=mask),
        replace(asked, mask_input=mask + 1),
        replace(asked, points=asked.points[::-1]),
        replace(asked, points=np.nextafter(asked.points, 100)),
    ]
    assert len({chain.key(prompt) for prompt in [asked, *others]}) == 1 + len(others)
    assert chain.key(replace(asked, label="Car", region_id="one")) == chain.key(asked)
