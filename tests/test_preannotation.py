"""One task of automatic mode: its regions, their labels and ids, what is left out."""

import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sam_backend.errors import ImageUnavailableError, TaskError
from sam_backend.labelstudio import config, images
from sam_backend.preannotation import labeling
from sam_backend.preannotation.labeling import Labeled
from sam_backend.preannotation.plan import Plan
from sam_backend.sam.types import Image
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings
from tests.support import recordings, scenes
from tests.support.scenes import Bitmap

SCENES = {
    "one.png": scenes.draw(300, 200, {"left": (30, 40, 15, 20), "right": (72, 60, 16, 24)}),
    "two.png": scenes.draw(200, 260, {"object": (50, 40, 25, 20)}, seed=3),
}
EVERYTHING = {"mode": "everything", "points_per_side": 6, "points_per_batch": 36}
IMAGE = '<Image name="image" value="$image"/>'
CAR = '<Label value="Car"/>'
BRUSH = f'<BrushLabels name="brush" toName="image">{CAR}</BrushLabels>'
RECTANGLES = f'<RectangleLabels name="box" toName="image">{CAR}<Label value="Tree"/></RectangleLabels>'
ONE = f"<View>{IMAGE}{BRUSH}</View>"
LIST = f'<View><Image name="image" valueList="$images"/>{BRUSH}</View>'
TASK: dict[str, Any] = {"id": 7, "data": {"image": "one.png"}}


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(Settings(inference_threads=2))


def image_of(url: str) -> Image:
    if url not in SCENES:
        raise ImageUnavailableError(f"{url!r} is not there.", "Check that the image exists.")
    rgb = SCENES[url].rgb
    return Image(rgb, images.digest(rgb))


Predict = Callable[..., Labeled | None]


@pytest.fixture
def predict(segmenter: Segmenter) -> Predict:
    def label(task: dict[str, Any], extra_params: Any, xml: str = ONE, **settings: Any) -> Labeled | None:
        plan = Plan.of(Settings(**settings), config.parse(xml, prompted=False), extra_params)
        return labeling.predict(segmenter, image_of, task, plan)

    return label


def result(labeled: Labeled | None) -> list[dict[str, Any]]:
    assert labeled is not None
    json.dumps(labeled.prediction, allow_nan=False)
    assert labeled.regions == len({region["id"] for region in labeled.prediction["result"]})
    return list(labeled.prediction["result"])


def found(regions: list[dict[str, Any]], wanted: Bitmap) -> bool:
    return max(scenes.iou(recordings.bitmap(region), wanted) for region in regions) >= 0.8


def box(name: str, thing: Bitmap, label: str = "Car", **more: Any) -> dict[str, Any]:
    """The bounding box of a thing, a little wider."""
    height, width = thing.shape
    rows, columns = np.nonzero(thing)
    x, y = 100 * (columns.min() - 2) / width, 100 * (rows.min() - 2) / height
    sides = {"width": 100 * (np.ptp(columns) + 5) / width, "height": 100 * (np.ptp(rows) + 5) / height}
    return {
        "id": name,
        "type": "rectanglelabels",
        "from_name": "box",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "value": {"x": float(x), "y": float(y), "rotation": 0, "rectanglelabels": [label]}
        | {side: float(size) for side, size in sides.items()},
        **more,
    }


def boxed(*regions: dict[str, Any], **task: Any) -> dict[str, Any]:
    return TASK | {"annotations": [{"id": 1, "result": list(regions)}]} | task


# ---------------------------------------------------------------------------------------------------- everything


def test_everything_is_found_best_first_with_its_score_and_the_only_label(
    predict: Predict, segmenter: Segmenter
) -> None:
    labeled = predict(TASK, EVERYTHING)
    regions = result(labeled)
    assert labeled is not None
    for thing in SCENES["one.png"].objects.values():
        assert found(regions, thing)
    assert {tuple(region["value"]["brushlabels"]) for region in regions} == {("Car",)}
    scores = [region["score"] for region in regions]
    assert scores == sorted(scores, reverse=True)
    assert labeled.prediction["score"] == pytest.approx(np.mean(scores))
    assert labeled.prediction["model_version"].startswith(f"{segmenter.model_version}-everything-")
    assert {(region["original_width"], region["original_height"]) for region in regions} == {(300, 200)}
    assert "item_index" not in regions[0]
    assert labeled.left_out == 0


def test_equal_runs_give_equal_predictions_and_other_parameters_other_ids(predict: Predict) -> None:
    first, again = predict(TASK, EVERYTHING), predict(TASK | {"id": 8}, EVERYTHING)
    assert first == again
    ids = [region["id"] for region in result(first)]
    assert all(name.startswith("sam-") and len(name) == 36 for name in ids)
    others = result(predict(TASK, EVERYTHING | {"max_area": 0.9}))
    assert not {region["id"] for region in others} & set(ids)


def test_each_image_of_a_list_has_its_index_and_no_id_comes_twice(predict: Predict) -> None:
    """The same picture twice in one task."""
    regions = result(predict({"data": {"images": ["one.png", "two.png", "one.png"]}}, EVERYTHING, LIST))
    by_index = {index: [one for one in regions if one["item_index"] == index] for index in (0, 1, 2)}
    assert sum(map(len, by_index.values())) == len(regions)
    assert found(by_index[1], SCENES["two.png"].objects["object"])
    for index in (0, 2):
        assert found(by_index[index], SCENES["one.png"].objects["left"])
    assert len({region["id"] for region in regions}) == len(regions)


def test_several_images_are_each_answered_by_their_own_control(predict: Predict) -> None:
    xml = (
        f'<View>{IMAGE}{BRUSH}<Image name="second" value="$second"/>'
        f'<BrushLabels name="other" toName="second">{CAR}</BrushLabels></View>'
    )
    regions = result(predict({"data": {"image": "one.png", "second": "two.png"}}, EVERYTHING, xml))
    assert {(one["from_name"], one["to_name"]) for one in regions} == {("brush", "image"), ("other", "second")}
    alone = result(predict({"data": {"second": "two.png"}}, EVERYTHING, xml))
    assert {one["to_name"] for one in alone} == {"second"}


def test_labels_beside_the_control_are_a_result_of_their_own(predict: Predict) -> None:
    xml = f'<View>{IMAGE}<Brush name="b" toName="image"/><Labels name="l" toName="image">{CAR}</Labels></View>'
    labeled = predict(TASK, EVERYTHING, xml)
    regions = result(labeled)
    assert [one["type"] for one in regions[:2]] == ["brush", "labels"]
    assert regions[0]["id"] == regions[1]["id"]
    assert len(regions) == 2 * (labeled.regions if labeled else 0)


def test_without_a_brush_a_mask_becomes_what_the_config_has(predict: Predict) -> None:
    xml = f'<View>{IMAGE}<PolygonLabels name="p" toName="image">{CAR}</PolygonLabels></View>'
    regions = result(predict(TASK, EVERYTHING, xml))
    assert {one["type"] for one in regions} == {"polygonlabels"}
    assert len({one["id"] for one in regions}) == len(regions)


def test_the_caps_leave_out_the_worst_and_the_log_says_what_and_why(
    predict: Predict, caplog: pytest.LogCaptureFixture
) -> None:
    whole = result(predict(TASK, EVERYTHING))
    with caplog.at_level(logging.INFO):
        fewer = predict(TASK, EVERYTHING | {"max_regions": 1})
    assert len(result(fewer)) == 1
    assert fewer is not None
    assert fewer.left_out == len(whole) - 1
    assert "max_regions (SAM_MAX_REGIONS)" in caplog.text
    numbers = [len(region["value"]["rle"]) for region in whole]
    shorter = predict(TASK, EVERYTHING | {"max_rle": sum(numbers) - 1})
    kept = [len(region["value"]["rle"]) for region in result(shorter)]
    assert sum(kept) < sum(numbers)
    assert shorter is not None
    assert shorter.left_out == len(numbers) - len(kept) > 0
    assert result(predict(TASK, EVERYTHING | {"max_rle": sum(numbers)}))[0]["value"] == whole[0]["value"]
    assert len(result(predict(TASK, EVERYTHING | {"max_rle": 0, "max_regions": 0}))) == len(whole)


def test_nothing_found_is_an_empty_prediction(predict: Predict) -> None:
    labeled = predict(TASK, EVERYTHING | {"pred_iou_thresh": 9})
    assert result(labeled) == []
    assert labeled is not None
    assert labeled.prediction["score"] == 0


def test_a_task_without_its_image_is_a_named_error(predict: Predict) -> None:
    with pytest.raises(TaskError, match=r"image"):
        predict({"id": 1, "data": {}}, EVERYTHING)
    with pytest.raises(ImageUnavailableError):
        predict({"id": 1, "data": {"images": ["one.png", "gone.png"]}}, EVERYTHING, LIST)


def test_with_the_mode_off_there_is_nothing(predict: Predict) -> None:
    assert predict(TASK, None) is None
    assert predict({}, {"mode": "off"}) is None


def test_it_can_be_ended_between_two_batches(segmenter: Segmenter) -> None:
    class EndError(Exception):
        pass

    def end() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise EndError

    calls: list[int] = []
    plan = Plan.of(Settings(), config.parse(ONE, prompted=False), EVERYTHING | {"points_per_batch": 4})
    from sam_backend.preannotation.spots import read

    with pytest.raises(EndError):
        labeling.label(segmenter, image_of, read(TASK, plan), plan, end)


# --------------------------------------------------------------------------------------------------------- boxes


def test_each_box_has_a_mask_with_its_label_and_a_reference(predict: Predict) -> None:
    left, right = SCENES["one.png"].objects.values()
    labels = f"<View>{IMAGE}<BrushLabels name='brush' toName='image'>{CAR}<Label value='Tree'/></BrushLabels></View>"
    labeled = predict(boxed(box("a", left), box("b", right, "Tree")), {"mode": "boxes"}, labels)
    one, other = result(labeled)
    assert labeled is not None
    assert scenes.iou(recordings.bitmap(one), left) >= 0.8
    assert scenes.iou(recordings.bitmap(other), right) >= 0.8
    assert (one["value"]["brushlabels"], one["meta"]) == (["Car"], {"box": "a"})
    assert (other["value"]["brushlabels"], other["meta"]) == (["Tree"], {"box": "b"})
    assert "-boxes-" in labeled.prediction["model_version"]


def test_a_box_of_an_older_config_finds_its_label_by_value_or_alias(predict: Predict) -> None:
    left = SCENES["one.png"].objects["left"]
    aliased = ONE.replace(CAR, '<Label value="Car" alias="c"/>')
    for name, written in (("Car", ["c"]), ("c", ["c"])):
        [region] = result(predict(boxed(box("a", left, name, from_name="gone")), {"mode": "boxes"}, aliased))
        assert region["value"]["brushlabels"] == written
    [region] = result(predict(boxed(box("a", left, "Gone")), {"mode": "boxes"}))
    assert "brushlabels" not in region["value"]


def test_a_task_without_boxes_has_no_prediction(predict: Predict) -> None:
    assert predict(TASK, {"mode": "boxes"}) is None
    assert predict(boxed(), {"mode": "boxes"}) is None


def test_a_box_that_cannot_be_used_is_left_out_and_logged(predict: Predict, caplog: pytest.LogCaptureFixture) -> None:
    left = SCENES["one.png"].objects["left"]
    outside = box("outside", left) | {"value": {"x": 100, "y": 0, "width": 1, "height": 5}}
    shifted = box("shifted", left, original_width=200, original_height=300)
    elsewhere = box("elsewhere", left, item_index=4)
    with caplog.at_level(logging.WARNING):
        [region] = result(predict(boxed(outside, shifted, elsewhere, box("a", left)), {"mode": "boxes"}))
    assert region["meta"] == {"box": "a"}
    for name in ("outside", "shifted", "elsewhere"):
        assert f"'{name}'" in caplog.text


def test_boxes_on_several_images_of_a_list(predict: Predict) -> None:
    thing = SCENES["two.png"].objects["object"]
    left = SCENES["one.png"].objects["left"]
    task = boxed(box("b", thing, item_index=1), box("a", left, item_index=0), data={"images": ["one.png", "two.png"]})
    regions = {region["meta"]["box"]: region for region in result(predict(task, {"mode": "boxes"}, LIST))}
    assert scenes.iou(recordings.bitmap(regions["b"]), thing) >= 0.8
    assert scenes.iou(recordings.bitmap(regions["a"]), left) >= 0.8
    assert {name: region["item_index"] for name, region in regions.items()} == {"a": 0, "b": 1}


def test_a_drawn_box_is_answered_at_the_size_that_the_browser_saw_a_predicted_one_at_the_files(
    predict: Predict,
) -> None:
    half = box("a", SCENES["one.png"].objects["left"], original_width=150, original_height=100)
    [drawn] = result(predict(boxed(half), {"mode": "boxes"}))
    assert recordings.bitmap(drawn).shape == (100, 150)
    predicted = TASK | {"predictions": [{"id": 1, "result": [half]}]}
    [region] = result(predict(predicted, {"mode": "boxes"}))
    assert recordings.bitmap(region).shape == (200, 300)


def test_a_turned_box_is_read_as_for_a_click(predict: Predict) -> None:
    """Its axis-aligned hull is the box; this one was turned by a quarter about its corner."""
    left = SCENES["one.png"].objects["left"]
    straight = box("a", left)
    x, y, width, height = (straight["value"][key] for key in ("x", "y", "width", "height"))
    sides = {"x": x + width, "y": y, "width": height * 200 / 300, "height": width * 300 / 200, "rotation": 90}
    turned = straight | {"value": straight["value"] | sides}
    [one] = result(predict(boxed(straight), {"mode": "boxes"}))
    [other] = result(predict(boxed(turned), {"mode": "boxes"}))
    assert scenes.iou(recordings.bitmap(one), recordings.bitmap(other)) > 0.98


def test_all_numbers_of_a_tasks_boxes_have_a_cap_too(predict: Predict) -> None:
    left, right = SCENES["one.png"].objects.values()
    task = boxed(box("a", left), box("b", right))
    numbers = [len(region["value"]["rle"]) for region in result(predict(task, {"mode": "boxes"}))]
    labeled = predict(task, {"mode": "boxes", "max_rle": numbers[0]})
    assert [region["meta"]["box"] for region in result(labeled)] == ["a"]
    assert labeled is not None
    assert labeled.left_out == 1
