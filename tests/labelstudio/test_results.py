"""Masks become regions that Label Studio accepts: the right control, label, size and numbers."""

import json
import logging
import math
from typing import Any

import numpy as np
import pytest

from sam_backend.labelstudio import config, prompts, results, rle
from sam_backend.labelstudio.config import LabelConfig
from sam_backend.labelstudio.prompts import PromptRequest
from sam_backend.sam.types import Mask


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
    return Mask(bitmap, score, 1.0, np.zeros((4, 4), np.float32))


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
    regions = results.regions([mask()] * 500, request(PLAIN, "Car"), PLAIN)
    assert len({region["id"] for region in regions}) == 500
    assert all(len(region["id"]) >= 10 for region in regions)


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
    assert "Car" in caplog.text


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
