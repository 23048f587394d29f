"""Which clicks join which rectangle: by place, by time, by what came in between, and by what was accepted."""

from dataclasses import replace

import pytest

from sam_backend.joins import Joins, Place
from sam_backend.labelstudio import config
from sam_backend.labelstudio.prompts import PromptRequest
from sam_backend.labelstudio.regions import Click, Rectangle

CONFIG = config.parse("""<View><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Car"/><Label value="Boat"/></BrushLabels>
  <KeyPointLabels name="points" toName="image"><Label value="Car"/><Label value="Boat"/></KeyPointLabels>
  <RectangleLabels name="boxes" toName="image"><Label value="Car" alias="auto"/><Label value="Boat"/></RectangleLabels>
</View>""")
POINTS, BOXES = CONFIG.prompts
NOTHING: frozenset[str] = frozenset()
WINDOW = 120.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def joins(clock: Clock) -> Joins:
    return Joins(WINDOW, clock=clock)


def clicks(*ids: str, label: str = "Car", item_index: int | None = None) -> PromptRequest:
    shapes = tuple(Click(10.0 * n, 20.0, is_positive=True) for n, _ in enumerate(ids))
    return PromptRequest(POINTS, (label,), ids[-1], shapes, (), item_index, (80, 120), 0.0, ids)


def boxes(*ids: str, x: float = 5.0, label: str = "auto", item_index: int | None = None) -> PromptRequest:
    shapes = tuple(Rectangle(x + 10 * n, 10, 30, 30, 0) for n, _ in enumerate(ids))
    return PromptRequest(BOXES, (label,), ids[-1], (), shapes, item_index, (80, 120), 0.0, ids)


def ask(joins: Joins, request: PromptRequest, *, project: str = "6.1", task: object = 1, accepted: str = "") -> str:
    """The id of the rectangle that the request may join, or nothing."""
    found = joins.ask(Place.of(project, task, request), request, frozenset(accepted.split()))
    return found.prompt_id if found else ""


def test_a_click_after_a_rectangle_joins_it_and_so_do_the_next(joins: Joins) -> None:
    assert ask(joins, boxes("r")) == ""
    assert ask(joins, clicks("k1")) == "r"
    assert ask(joins, clicks("k1", "k2")) == "r"


def test_a_click_without_a_rectangle_joins_nothing(joins: Joins) -> None:
    assert ask(joins, clicks("k1")) == ""
    assert ask(joins, clicks("k1", "k2")) == ""


def test_a_click_in_between_ends_it(joins: Joins) -> None:
    """A click that is not in this request was accepted or rejected after the rectangle."""
    ask(joins, boxes("r"))
    ask(joins, clicks("k1"))
    assert ask(joins, clicks("k2")) == ""


def test_the_newest_rectangle_counts(joins: Joins) -> None:
    ask(joins, boxes("r1"))
    ask(joins, boxes("r1", "r2"))
    assert ask(joins, clicks("k1")) == "r2"


def test_a_rectangle_that_was_moved_was_asked_last(joins: Joins) -> None:
    ask(joins, boxes("r"))
    ask(joins, clicks("k1"))
    ask(joins, boxes("r", x=40))
    place = Place.of("6.1", 1, clicks("k2"))
    found = joins.ask(place, clicks("k2"), NOTHING)
    assert found is not None
    assert found.shape == Rectangle(40, 10, 30, 30, 0)


def test_rectangles_of_one_request_are_remembered_together(joins: Joins) -> None:
    request = boxes("r1", "r2")
    ask(joins, request)
    found = joins.ask(Place.of("6.1", 1, request), clicks("k1"), NOTHING)
    assert found is not None
    assert found.rectangles == request.rectangles


def test_an_accepted_rectangle_is_done_with(joins: Joins) -> None:
    request = boxes("r")
    place = Place.of("6.1", 1, request)
    ask(joins, request)
    joins.answer(place, ["r"], ["answer-1"])
    assert ask(joins, clicks("k1"), accepted="another") == "r"
    joins.answer(place, ["r"], ["answer-2"])
    assert ask(joins, clicks("k1", "k2"), accepted="another answer-2") == ""
    assert ask(joins, clicks("k1", "k2"), accepted="answer-1") == ""


def test_the_window_ends_and_begins_anew_with_each_answer(joins: Joins, clock: Clock) -> None:
    request = boxes("r")
    ask(joins, request)
    clock.now += WINDOW - 1
    assert ask(joins, clicks("k1")) == "r"
    joins.answer(Place.of("6.1", 1, request), ["r"], ["answer"])
    clock.now += WINDOW - 1
    assert ask(joins, clicks("k1", "k2")) == "r"
    clock.now += 1
    assert ask(joins, clicks("k1", "k2", "k3")) == ""


def test_a_window_of_zero_joins_nothing(clock: Clock) -> None:
    joins = Joins(0, clock=clock)
    ask(joins, boxes("r"))
    assert ask(joins, clicks("k1")) == ""


def test_nothing_is_joined_across_projects_tasks_items_and_labels(joins: Joins) -> None:
    ask(joins, boxes("r", item_index=1))
    assert ask(joins, clicks("k", item_index=1), project="6.2") == ""
    assert ask(joins, clicks("k", item_index=1), task=2) == ""
    assert ask(joins, clicks("k", item_index=0)) == ""
    assert ask(joins, clicks("k", item_index=1, label="Boat")) == ""
    assert ask(joins, clicks("k", item_index=1)) == "r"


def test_two_annotators_with_equal_labels_on_two_tasks_never_meet(joins: Joins) -> None:
    for turn in range(10):
        for task in (1, 2):
            ask(joins, boxes(f"r{task}-{turn}"), task=task)
        for task in (2, 1):
            assert ask(joins, clicks(f"k{task}-{turn}"), task=task) == f"r{task}-{turn}"


def test_two_annotators_on_one_task_and_label_are_one(joins: Joins) -> None:
    """Label Studio does not say who asks: within the window, one's click in the other's rectangle joins it."""
    ask(joins, boxes("of-ann"))
    assert ask(joins, clicks("of-bob")) == "of-ann"


def test_the_first_image_of_a_list_may_go_without_its_index(joins: Joins) -> None:
    ask(joins, boxes("r"))
    assert ask(joins, clicks("k", item_index=0)) == "r"


def test_what_is_remembered_is_bounded(clock: Clock) -> None:
    joins = Joins(WINDOW, clock=clock, most=3)
    for task in range(5):
        ask(joins, boxes("r"), task=task)
    assert [ask(joins, clicks("k"), task=task) for task in (4, 3, 2, 1, 0)] == ["r", "r", "r", "", ""]
    for number in range(500):
        ask(joins, clicks(f"k{number}"))
    asked = joins._notes.get(Place.of("6.1", 1, clicks("k")).key)
    assert asked
    assert len(asked) < 20


def test_prompts_of_a_request_are_told_apart_by_their_place_where_ids_are_missing(joins: Joins) -> None:
    request = boxes("r")
    ask(joins, replace(request, region_id=None, prompt_ids=(repr(request.rectangles[0]),)))
    assert ask(joins, clicks("k1")) == repr(request.rectangles[0])
