"""What was answered a moment ago, while Label Studio's drafts do not have it yet."""

from typing import Any

import pytest

from sam_backend import recent
from sam_backend.joins import Place
from sam_backend.labelstudio import overlay
from sam_backend.recent import Recent

HERE = Place("6.1", "1", "image", 0, ("Car",))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def mask(name: str, rle: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "brushlabels", "value": {"format": "rle", "rle": [rle]}} | more


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def answered(clock: Clock) -> Recent:
    return Recent(clock=clock)


def test_an_answer_counts_at_its_place_until_drafts_have_it(answered: Recent, clock: Clock) -> None:
    answered.remember(HERE, ["k1"], [mask("a")])
    clock.now += recent.SECONDS - 1
    assert answered.masks(HERE, ["k2"]) == {"a": mask("a")}
    for other in (("6.2", "1"), ("6.1", "2")):
        assert answered.masks(Place(*other, "image", 0, ("Car",)), ["k2"]) == {}
    clock.now += 1
    assert answered.masks(HERE, ["k2"]) == {}


def test_an_answer_to_prompts_that_are_asked_again_is_not_done_yet(answered: Recent) -> None:
    answered.remember(HERE, ["k1"], [mask("a")])
    assert answered.masks(HERE, ["k1", "k2"]) == {}


def test_the_newest_mask_of_a_region_counts_and_their_number_is_bounded(answered: Recent) -> None:
    for number in range(100):
        answered.remember(HERE, [f"k{number}"], [mask(f"a{number % 50}", number)])
    masks = answered.masks(HERE, ["next"])
    assert len(masks) < 20
    assert masks["a49"] == mask("a49", 99)


def task(**works: Any) -> dict[str, Any]:
    return {"id": 1, "data": {}} | works


def test_a_region_that_stands_gets_its_newer_mask_and_keeps_all_else() -> None:
    choice = {"id": "a", "type": "choices", "value": {"choices": ["x"]}}
    old = task(drafts=[{"id": 5, "result": [mask("a", 1, meta={}), choice, mask("b")]}], annotations=None)
    new = overlay.renewed(old, {"a": mask("a", 2), "c": mask("c")})
    assert new["drafts"] == [{"id": 5, "result": [mask("a", 2, meta={}), choice, mask("b")]}]
    assert old["drafts"][0]["result"][0]["value"]["rle"] == [1]


def test_a_region_that_does_not_stand_yet_is_added_to_each_work() -> None:
    old = task(drafts=[{"result": [mask("a")]}], annotations=[{"result": []}, "broken"])
    new = overlay.extended(old, {"a": mask("a", 2), "c": mask("c")})
    assert new["drafts"] == [{"result": [mask("a"), mask("c")]}]
    assert new["annotations"] == [{"result": [mask("a", 2), mask("c")]}, "broken"]
    assert overlay.extended(task(), {"c": mask("c")})["drafts"] == [{"result": [mask("c")]}]


@pytest.mark.parametrize(
    "broken", [None, 3, {}, "text", [None], [3], [{"result": 3}], [{"result": [None, {"id": []}]}]]
)
def test_malformed_works_are_passed_on(broken: Any) -> None:
    for change in (overlay.renewed, overlay.extended):
        change(task(drafts=broken, annotations=broken, predictions=broken), {"a": mask("a")})


def test_only_brush_results_are_masks() -> None:
    others = [mask("a") | {"type": "labels"}, {"id": "b", "type": "polygonlabels", "value": {"points": []}}]
    assert overlay.painted([mask("a"), *others]) == [mask("a")]
