"""Masks become regions that Label Studio accepts: the right control, label, size and numbers."""

import json
import logging
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sam_backend.answer_settings import AnswerSettings
from sam_backend.errors import LabelConfigError
from sam_backend.labelstudio import bitmask, config, prompts, regions, results, rle
from sam_backend.labelstudio.config import LabelConfig
from sam_backend.labelstudio.prompts import PromptRequest
from sam_backend.labelstudio.results import AnswerOptions
from sam_backend.sam.types import Mask, Patch


def controls(answers: str, points: str = '<Label value="Car"/>', attributes: str = "") -> LabelConfig:
    return config.parse(
        f'<View><Image name="image" value="$image"/>{answers}'
        f'<KeyPointLabels name="points" toName="image" {attributes}>{points}</KeyPointLabels></View>'
    )


def brush(labels: str, name: str = "brush", attributes: str = "") -> str:
    return f'<BrushLabels name="{name}" toName="image" {attributes}>{labels}</BrushLabels>'


PLAIN = controls(brush('<Label value="Car"/>'))


def request(found: LabelConfig, *labels: str, **more: Any) -> PromptRequest:
    region = {
        "type": "keypointlabels",
        "from_name": "points",
        "to_name": "image",
        "is_positive": True,
        "original_width": 7,
        "original_height": 5,
        "value": {"x": 50, "y": 50, "keypointlabels": list(labels)},
    }
    asked = prompts.parse({"result": [region | more]}, found)
    assert asked is not None
    return asked


def mask(score: float = 0.75, *, inside: bool = True) -> Mask:
    bitmap = np.zeros((5, 7), np.bool_)
    bitmap[1:3, 2:6] = inside
    return Mask(Patch.of(bitmap), score, 1.0, np.zeros((4, 4), np.float32))


def one(found: LabelConfig, *labels: str, **more: Any) -> dict[str, Any]:
    [region] = results.regions([mask()], request(found, *labels, **more), found)
    return region


def test_a_region_has_all_that_label_studio_needs() -> None:
    region = one(PLAIN, "Car", image_rotation=90)
    assert region == {
        "id": region["id"],
        "type": "brushlabels",
        "from_name": "brush",
        "to_name": "image",
        "origin": "manual",
        "score": 0.75,
        "original_width": 7,
        "original_height": 5,
        "image_rotation": 90,
        "value": {"format": "rle", "rle": rle.encode(mask().bitmap), "brushlabels": ["Car"]},
    }
    assert np.array_equal(rle.decode(region["value"]["rle"], (5, 7)), mask().bitmap)
    assert json.loads(json.dumps(region, allow_nan=False)) == region


def test_an_empty_mask_gives_no_region() -> None:
    asked = request(PLAIN, "Car")
    assert results.regions([mask(inside=False)], asked, PLAIN) == []
    assert results.regions([], asked, PLAIN) == []
    assert len(results.regions([mask(), mask(inside=False), mask()], asked, PLAIN)) == 2


def test_ids_are_unique() -> None:
    answered = results.regions([mask()] * 500, request(PLAIN, "Car"), PLAIN)
    assert len({region["id"] for region in answered}) == 500
    assert all(regions.is_ours(region["id"]) and "#" not in region["id"] for region in answered)


def test_item_index_comes_back_where_there_was_one() -> None:
    assert one(PLAIN, "Car", item_index=0)["item_index"] == 0
    assert one(PLAIN, "Car", item_index=2)["item_index"] == 2
    assert "item_index" not in one(PLAIN, "Car")


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_is_always_a_number(score: float) -> None:
    """A region's score that is none replaces the annotator's page by an error."""
    [region] = results.regions([mask(score)], request(PLAIN, "Car"), PLAIN)
    assert region["score"] == 0
    assert results.prediction([region], score, "v")["score"] == 0


def test_numpys_numbers_become_pythons() -> None:
    [region] = results.regions([mask(np.float32(0.5))], request(PLAIN, "Car"), PLAIN)  # type: ignore[arg-type]
    assert json.loads(json.dumps(results.prediction([region], np.float32(0.5), "v")))["score"] == 0.5  # type: ignore[arg-type]


def test_a_prediction() -> None:
    assert results.prediction([], 0.0, "builtin-1") == {"result": [], "score": 0.0, "model_version": "builtin-1"}


@pytest.mark.parametrize(
    ("points", "answers", "chosen", "written"),
    [
        ('<Label value="Car"/>', '<Label value="Car"/>', "Car", "Car"),
        ('<Label value="Car" alias="c"/>', '<Label value="Car" alias="c"/>', "c", "c"),
        ('<Label value="Car" alias="c"/>', '<Label value="Car"/>', "c", "Car"),
        ('<Label value="Car"/>', '<Label value="Car" alias="c"/>', "Car", "c"),
        ('<Label value="Car" alias="a"/>', '<Label value="Car" alias="b"/>', "a", "b"),
        ('<Label value="Auto" alias="Car"/>', '<Label value="Boat"/><Label value="Car"/>', "Car", "Car"),
        ('<Label value="Car" alias="c"/>', '<Label value="Cab" alias="c"/><Label value="Car" alias="x"/>', "c", "x"),
        ('<Label value="x" alias="B"/>', '<Label value="B" alias="A"/><Label value="b" alias="B"/>', "B", "B"),
    ],
)
def test_the_label_is_the_one_that_the_answering_control_stores(
    points: str, answers: str, chosen: str, written: str
) -> None:
    assert one(controls(brush(answers), points), chosen)["value"]["brushlabels"] == [written]


def test_a_label_that_the_brush_lacks_is_left_out_and_never_guessed(caplog: pytest.LogCaptureFixture) -> None:
    found = controls(brush('<Label value="Boat"/>'), '<Label value="Car"/>')
    with caplog.at_level(logging.WARNING):
        region = one(found, "Car")
    assert "brushlabels" not in region["value"]
    assert "['Car']" in caplog.text
    assert "['Boat']" in caplog.text


def test_the_brush_that_has_the_label_answers() -> None:
    found = controls(
        brush('<Label value="Boat"/>', "boats") + brush('<Label value="Car"/>', "cars") + brush("", "none"),
        '<Label value="Car"/><Label value="Boat"/><Label value="Plane"/>',
    )
    assert one(found, "Car")["from_name"] == "cars"
    assert one(found, "Boat")["from_name"] == "boats"
    assert one(found, "Plane")["from_name"] == "boats"


def test_several_labels_of_one_prompt_stay_together() -> None:
    both = '<Label value="Car"/><Label value="Red"/>'
    assert one(controls(brush(both), both), "Car", "Red")["value"]["brushlabels"] == ["Car", "Red"]


def test_labels_that_both_controls_take_from_the_task_are_kept() -> None:
    found = controls(brush("", attributes='value="$classes"'), "", attributes='value="$classes"')
    assert one(found, "Car")["value"]["brushlabels"] == ["Car"]
    other = controls(brush("", attributes='value="$others"'), "", attributes='value="$classes"')
    assert "brushlabels" not in one(other, "Car")["value"]


def test_a_brush_without_labels_answers_without() -> None:
    region = one(controls('<Brush name="brush" toName="image"/>'), "Car")
    assert region["type"] == "brush"
    assert sorted(region["value"]) == ["format", "rle"]


def test_the_answer_is_on_the_prompts_own_image() -> None:
    found = config.parse(
        '<View><Image name="a" value="$a"/><Image name="b" value="$b"/><BrushLabels name="on_a" toName="a"/>'
        '<BrushLabels name="on_b" toName="b"/><KeyPointLabels name="points" toName="a,b"/></View>'
    )
    for image in ("a", "b"):
        region = one(found, to_name=image)
        assert (region["from_name"], region["to_name"]) == (f"on_{image}", image)


# ------------------------------------------------------------------------------------------------- kinds of answers

CAR = '<Label value="Car"/>'
BOAT = '<Label value="Boat"/>'


def answer(kind: str, labels: str = CAR, name: str = "", attributes: str = "") -> str:
    return f'<{kind} name="{name or kind.lower()}" toName="image" {attributes}>{labels}</{kind}>'


def answers(found: LabelConfig, *labels: str, options: AnswerOptions | None = None) -> list[dict[str, Any]]:
    return results.regions([mask()], request(found, *labels), found, options or AnswerOptions())


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("Rectangle", {"x": 200 / 7, "y": 20, "width": 400 / 7, "height": 40, "rotation": 0}),
        (
            "Polygon",
            {"points": [[100 * x / 7, 100 * y / 5] for x, y in ((2, 1), (2, 3), (6, 3), (6, 1))], "closed": True},
        ),
        (
            "Ellipse",
            {"x": 400 / 7, "y": 40, "radiusX": 400 / 7 / 3**0.5, "radiusY": 40 / 3**0.5, "rotation": 0},
        ),
        ("Bitmask", {"imageDataURL": bitmask.data_url(mask().patch)}),
        ("Brush", {"format": "rle", "rle": rle.encode(mask().bitmap)}),
    ],
)
def test_the_control_decides_the_shape(kind: str, value: dict[str, Any]) -> None:
    [plain] = answers(controls(answer(kind, "")), "Car")
    [labelled] = answers(controls(answer(f"{kind}Labels")), "Car")
    assert (plain["type"], labelled["type"]) == (kind.lower(), f"{kind.lower()}labels")
    assert labelled["value"].pop(f"{kind.lower()}labels") == ["Car"]
    for region in (plain, labelled):
        assert sorted(region["value"]) == sorted(value)
        for key, expected in value.items():
            assert region["value"][key] == (expected if isinstance(expected, str | list) else pytest.approx(expected))
        assert json.loads(json.dumps(region, allow_nan=False)) == region


def test_a_polygon_for_each_part() -> None:
    found = controls(answer("PolygonLabels"))
    bitmap = mask().bitmap
    bitmap[4, 0] = True
    two = replace(mask(), patch=Patch.of(bitmap))
    regions_of_two = results.regions([two], request(found, "Car"), found)
    assert len(regions_of_two) == 2
    assert len({region["id"] for region in regions_of_two}) == 2
    assert {str(region["value"]["polygonlabels"]) for region in regions_of_two} == {"['Car']"}


def test_of_several_controls_the_one_with_the_label_answers_then_the_preferred_one() -> None:
    found = controls(answer("PolygonLabels") + answer("EllipseLabels") + answer("BrushLabels", BOAT))
    assert answers(found, "Car")[0]["type"] == "polygonlabels"
    assert answers(found, "Boat")[0]["type"] == "brushlabels"
    assert answers(found)[0]["type"] == "brushlabels"
    assert answers(found, "Car", options=AnswerOptions(("ellipse", "polygon")))[0]["type"] == "ellipselabels"
    assert answers(found, "Boat", options=AnswerOptions(("ellipse", "brush")))[0]["type"] == "brushlabels"


@pytest.mark.parametrize("masks", [answer("BrushLabels", BOAT), answer("Brush", ""), answer("PolygonLabels", "")])
def test_a_smart_rectangle_does_not_answer_where_a_control_for_masks_is_preferred(masks: str) -> None:
    smart = controls(answer("RectangleLabels") + masks)
    assert answers(smart, "Car")[0]["type"] != "rectanglelabels"
    assert answers(smart, "Car", options=AnswerOptions(("rectangle", "brush")))[0]["type"] == "rectanglelabels"
    ordinary = controls(answer("RectangleLabels", attributes='smart="false"') + masks)
    assert answers(ordinary, "Car")[0]["type"] == "rectanglelabels"
    assert answers(controls(answer("RectangleLabels")), "Car")[0]["value"]["rectanglelabels"] == ["Car"]


def test_kinds_that_the_setting_leaves_out_never_answer_and_the_error_names_it() -> None:
    found = controls(answer("RectangleLabels") + answer("BrushLabels"))
    options = AnswerOptions.of(AnswerSettings(answer="Rectangle, polygon"))
    results.check(found, options)
    assert answers(found, "Car", options=options)[0]["type"] == "rectanglelabels"
    nothing = AnswerOptions(("polygon", "ellipse"))
    with pytest.raises(LabelConfigError, match="brush, rectangle, but the setting SAM_ANSWER allows polygon, ellipse"):
        results.check(found, nothing)
    with pytest.raises(LabelConfigError, match="SAM_ANSWER"):
        answers(found, "Car", options=nothing)


def test_the_options_are_the_settings() -> None:
    assert AnswerOptions.of(AnswerSettings()) == AnswerOptions()
    settings = AnswerSettings(answer="polygon", polygon_tolerance=2.5, polygon_points=7)
    assert AnswerOptions.of(settings) == AnswerOptions(("polygon",), 2.5, 7)


def test_labels_of_a_labels_control_make_a_second_result_of_the_region() -> None:
    """So does Label Studio store a region of `<Brush>` with a label of `<Labels>`."""
    found = controls(answer("Ellipse", "") + answer("Labels", '<Label value="Car" alias="c"/>'), "")
    shape, labelled = answers(found, "c")
    assert (shape["type"], shape["from_name"]) == ("ellipse", "ellipse")
    assert (labelled["type"], labelled["from_name"]) == ("labels", "labels")
    assert labelled["value"] == shape["value"] | {"labels": ["c"]}
    assert labelled["id"] == shape["id"]
    assert len(answers(found, "Boat")) == 1


def test_a_corrected_region_keeps_all_that_stands_under_its_id_but_for_the_mask() -> None:
    asked = request(PLAIN, "Car", item_index=1)
    [painted] = results.regions([mask()], asked, PLAIN)
    standing = painted | {"id": "Ab3_x9-Zq1", "origin": "prediction", "meta": {"text": ["seen"]}, "parentID": "b"}
    choice = {"id": "Ab3_x9-Zq1", "type": "choices", "value": {"choices": ["dent"]}}
    smaller = replace(mask(), patch=Patch.of(np.roll(mask().bitmap, 1, axis=1)), score=0.5)
    [region, beside] = results.corrected(smaller, [standing, choice])
    value = painted["value"] | {"rle": rle.encode(smaller.bitmap)}
    assert region == standing | {"origin": "manual", "score": 0.5, "value": value}
    assert beside == choice
