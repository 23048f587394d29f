"""Which rectangles of a task ask for masks."""

import logging
from typing import Any

import pytest

from sam_backend.labelstudio import boxes, config
from sam_backend.labelstudio.boxes import Box

BRUSH = '<BrushLabels name="brush" toName="image"><Label value="Car"/></BrushLabels>'
RECTANGLES = '<RectangleLabels name="box" toName="image"><Label value="Car"/></RectangleLabels>'
IMAGE = '<Image name="image" value="$image"/>'
ONE = f"<View>{IMAGE}{BRUSH}{RECTANGLES}</View>"
WITHOUT_RECTANGLES = f"<View>{IMAGE}{BRUSH}</View>"
TWO_IMAGES = (
    f'<View>{IMAGE}<Image name="other" value="$other"/>{BRUSH}'
    '<BrushLabels name="brush2" toName="other"><Label value="Car"/></BrushLabels></View>'
)


def box(name: str | None, **more: Any) -> dict[str, Any]:
    region = {
        "id": name,
        "type": "rectanglelabels",
        "from_name": "box",
        "to_name": "image",
        "original_width": 200,
        "original_height": 100,
        "image_rotation": 0,
        "value": {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["Car"]},
    } | more
    return {key: value for key, value in region.items() if value is not None}


def work(number: int, *result: Any, **more: Any) -> dict[str, Any]:
    return {"id": number, "result": list(result), "created_at": f"2026-01-{number:02}T00:00:00Z", **more}


def read(task: dict[str, Any], xml: str = ONE) -> list[Box]:
    found = config.parse(xml, prompted=False)
    return boxes.boxes(task, found, found.images)


def names(task: dict[str, Any], xml: str = ONE) -> list[str | None]:
    return [one.request.region_id for one in read(task, xml)]


def test_a_box_comes_with_its_label_place_and_size() -> None:
    [found] = read({"annotations": [work(1, box("a", item_index=2, image_rotation=90))]})
    assert found.is_drawn
    assert found.request.labels == ("Car",)
    assert found.request.control.name == "box"
    assert found.request.item_index == 2
    assert found.request.original_size == (100, 200)
    assert found.request.image_rotation == 90
    assert found.request.rectangle is not None
    assert (found.request.rectangle.x, found.request.rectangle.height) == (10, 40)


def test_the_newest_annotation_with_boxes_counts() -> None:
    works = [work(1, box("old")), work(3, {"type": "brushlabels"}), work(2, box("new"), box("newer"))]
    assert names({"annotations": works, "predictions": [work(9, box("predicted"))]}) == ["new", "newer"]


def test_an_annotation_that_was_changed_later_is_newer() -> None:
    changed = work(1, box("changed"), updated_at="2026-02-01T00:00:00Z")
    assert names({"annotations": [changed, work(2, box("made later"))]}) == ["changed"]


def test_a_cancelled_annotation_does_not_count() -> None:
    assert names({"annotations": [work(1, box("a")), work(2, box("b"), was_cancelled=True)]}) == ["a"]


def test_predictions_count_where_no_annotation_has_boxes() -> None:
    task = {"annotations": [work(1, {"type": "choices"})], "predictions": [work(1, box("a")), work(2, box("b"))]}
    assert names(task) == ["b"]
    assert not read(task)[0].is_drawn


def test_a_prediction_of_ours_does_not_count_but_a_box_of_ours_that_was_accepted_does() -> None:
    ours = box("sam-1234")
    assert names({"predictions": [work(1, box("a")), work(2, ours)]}) == ["a"]
    assert names({"predictions": [work(2, ours, box("b"))]}) == []
    assert names({"annotations": [work(2, ours)]}) == ["sam-1234"]


def test_boxes_of_an_older_project_count_on_an_image_of_this_one() -> None:
    older = work(1, box("a", from_name="gone", type="rectangle"))
    assert names({"annotations": [older]}) == ["a"]
    assert names({"annotations": [older]}, WITHOUT_RECTANGLES) == ["a"]


def test_where_there_is_one_image_its_older_name_does_not_matter() -> None:
    older = {"annotations": [work(1, box("a", to_name="img"))]}
    assert names(older) == ["a"]
    assert read(older)[0].request.control.to_name == "image"
    assert names(older, TWO_IMAGES) == []
    assert names({"annotations": [work(1, box("b", to_name="other"))]}, TWO_IMAGES) == ["b"]


def test_a_box_without_an_id_counts_and_one_of_two_results_counts_once() -> None:
    labels = {"id": "a", "type": "labels", "value": {"labels": ["Car"]}}
    plain = box("a", type="rectangle", value={"x": 1, "y": 1, "width": 5, "height": 5})
    found = read({"annotations": [work(1, box(None), box(None), plain, labels, box("a"))]})
    assert [one.request.region_id for one in found] == [None, None, "a"]
    assert found[2].request.labels == ("Car",)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"x": 10, "y": 20, "width": 0, "height": 40},
        {"x": "10", "y": 20, "width": 30, "height": 40},
        {"x": 500, "y": 20, "width": 30, "height": 40},
        {"x": float("nan"), "y": 20, "width": 30, "height": 40},
    ],
    ids=str,
)
def test_a_malformed_box_is_left_out_and_logged(value: object, caplog: pytest.LogCaptureFixture) -> None:
    wrong = box("wrong") | {"value": value}
    with caplog.at_level(logging.WARNING):
        assert names({"annotations": [work(1, wrong, box("right"))]}) == ["right"]
    assert "'wrong' is left out" in caplog.text


@pytest.mark.parametrize(
    "task",
    [
        {},
        {"annotations": None, "predictions": 5},
        {"annotations": [None, 3, "a", {}, {"result": None}, {"result": "a"}, {"result": [None, 4, []]}]},
        {"predictions": [12, 13]},
        {"annotations": [{"result": [{"type": "rectanglelabels"}]}]},
    ],
    ids=str,
)
def test_a_task_without_boxes_has_none(task: dict[str, Any]) -> None:
    assert read(task) == []
