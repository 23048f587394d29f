"""The plan of automatic mode: its version changes with all that changes an answer, and with nothing else."""

from typing import Any

import pytest

from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.errors import ExtraParamsError
from sam_backend.labelstudio import config
from sam_backend.preannotation.plan import Plan
from sam_backend.settings import Settings

IMAGE = '<Image name="image" value="$image"/>'
CAR = '<Label value="Car"/>'


def brush(labels: str = CAR, name: str = "brush") -> str:
    return f'<BrushLabels name="{name}" toName="image">{labels}</BrushLabels>'


def plan(extra_params: Any, controls: str = brush(), **settings: Any) -> Plan:
    return Plan.of(Settings(**settings), config.parse(f"<View>{IMAGE}{controls}</View>", prompted=False), extra_params)


def version(extra_params: Any, controls: str = brush(), **settings: Any) -> str:
    return plan(extra_params, controls, **settings).version("model")


EVERYTHING, BOXES = {"mode": "everything"}, {"mode": "boxes"}
OTHER: dict[str, Any] = {
    "points_per_side": 5,
    "pred_iou_thresh": 0.5,
    "stability_score_thresh": 0.5,
    "stability_score_offset": 0.5,
    "box_nms_thresh": 0.5,
    "crop_n_layers": 1,
    "crop_nms_thresh": 0.5,
    "crop_overlap_ratio": 0.5,
    "crop_n_points_downscale_factor": 2,
    "point_grids": [[[0.5, 0.5]]],
    "min_mask_region_area": 5,
    "guided": True,
    "overlapping": False,
    "min_area": 0.5,
    "max_area": 0.5,
    "max_regions": 5,
    "max_rle": 5,
}
NO_MATTER = {"mode", "label", "points_per_batch"}


def test_the_version_names_model_and_mode() -> None:
    assert version(None) == version({"mode": "off", "points_per_side": 3}) == "model"
    assert version(EVERYTHING).startswith("model-everything-")
    assert version(BOXES).startswith("model-boxes-")
    assert len(version(BOXES).removeprefix("model-boxes-")) == 8


def test_all_parameters_are_looked_at_here() -> None:
    assert set(OTHER) | NO_MATTER == set(AutomaticSettings.model_fields)


@pytest.mark.parametrize("name", OTHER)
def test_each_parameter_of_the_generator_changes_the_version_of_everything(name: str) -> None:
    assert version(EVERYTHING | {name: OTHER[name]}) != version(EVERYTHING)
    assert version(EVERYTHING | {name: OTHER[name]}) == version(
        {name: OTHER[name]}, automatic=AutomaticSettings(mode="everything")
    )


def test_the_size_of_a_batch_changes_it_only_where_the_grid_is_guided() -> None:
    """What is learned between two batches decides which points are skipped."""
    assert version(EVERYTHING | {"points_per_batch": 5}) == version(EVERYTHING)
    guided = EVERYTHING | {"guided": True}
    assert version(guided | {"points_per_batch": 5}) != version(guided)


def test_the_order_of_the_keys_and_how_a_number_is_written_do_not_change_it() -> None:
    one = {"mode": "everything", "max_area": 1, "points_per_side": 8}
    other = '{"points_per_side": 8, "max_area": 1.0, "mode": "everything"}'
    assert version(one) == version(other)


@pytest.mark.parametrize("settings", [{"answer": "polygon"}, {"polygon_tolerance": 3}, {"polygon_points": 9}], ids=str)
@pytest.mark.parametrize("mode", [EVERYTHING, BOXES], ids=str)
def test_what_a_mask_becomes_changes_it(mode: dict[str, Any], settings: dict[str, Any]) -> None:
    controls = brush() + f'<PolygonLabels name="polygon" toName="image">{CAR}</PolygonLabels>'
    assert version(mode, controls, **settings) != version(mode, controls)


@pytest.mark.parametrize(
    "settings", [{"fill_holes": 9}, {"drop_islands": 9}, {"keep_clicked": True}, {"crop_below": 0.5}], ids=str
)
def test_how_the_mask_of_a_box_is_finished_changes_the_version_of_boxes_alone(settings: dict[str, Any]) -> None:
    assert version(BOXES, **settings) != version(BOXES)
    assert version(EVERYTHING, **settings) == version(EVERYTHING)


def test_the_parameters_of_the_generator_do_not_change_the_version_of_boxes() -> None:
    assert version(BOXES | {"points_per_side": 5, "label": "x", "max_regions": 3}) == version(BOXES)
    assert version(BOXES | {"max_rle": 5}) != version(BOXES)


def test_control_and_label_change_it() -> None:
    two = brush(CAR + '<Label value="Truck"/>')
    versions = [
        version(EVERYTHING),
        version(EVERYTHING, brush(name="other")),
        version(EVERYTHING, two),
        version(EVERYTHING | {"label": "Truck"}, two),
    ]
    assert len(set(versions)) == len(versions)
    assert version(EVERYTHING | {"label": "Car"}) == version(EVERYTHING)
    choices = '<Choices name="c" toName="image"><Choice value="Good"/></Choices>'
    assert version(EVERYTHING, brush() + choices) == version(EVERYTHING)
    assert version(BOXES, two) != version(BOXES)


def labels(extra_params: Any, controls: str) -> tuple[str, tuple[str, ...]]:
    chosen = plan(extra_params, controls).choices()["image"]
    return chosen.control.name, chosen.labels


LABELS = '<Labels name="labels" toName="image"><Label value="Car"/><Label value="Truck" alias="t"/></Labels>'


@pytest.mark.parametrize(
    ("label", "controls", "chosen"),
    [
        ("", brush(), ("brush", ("Car",))),
        ("", brush('<Label value="Car" alias="c"/>'), ("brush", ("c",))),
        ("Car", brush('<Label value="Car" alias="c"/>'), ("brush", ("c",))),
        ("c", brush('<Label value="Car" alias="c"/>'), ("brush", ("c",))),
        ("", brush(CAR + '<Label value="Truck"/>'), ("brush", ())),
        ("Truck", brush(CAR + '<Label value="Truck"/>'), ("brush", ("Truck",))),
        ("", brush() + brush('<Label value="Truck"/>', "second"), ("brush", ())),
        ("Truck", brush() + brush('<Label value="Truck"/>', "second"), ("second", ("Truck",))),
        ("", '<Brush name="b" toName="image"/>', ("b", ())),
        ("", '<Brush name="b" toName="image"/>' + LABELS, ("b", ())),
        ("Truck", '<Brush name="b" toName="image"/>' + LABELS, ("b", ("t",))),
        ("Any", '<BrushLabels name="b" toName="image" value="$labels"/>', ("b", ("Any",))),
        ("", f'<BrushLabels name="b" toName="image" value="$labels">{CAR}</BrushLabels>', ("b", ())),
        ("", f'{brush()}<RectangleLabels name="r" toName="image">{CAR}</RectangleLabels>', ("brush", ("Car",))),
    ],
)
def test_the_label_is_the_given_one_else_the_only_one_else_none(
    label: str, controls: str, chosen: tuple[str, tuple[str, ...]]
) -> None:
    assert labels({"mode": "everything", "label": label}, controls) == chosen


@pytest.mark.parametrize("controls", [brush(), '<Brush name="b" toName="image"/>'])
def test_a_label_that_nothing_offers_is_named(controls: str) -> None:
    with pytest.raises(ExtraParamsError, match="label = 'Bus'") as refused:
        plan({"mode": "everything", "label": "Bus"}, controls)
    assert ("Car" in refused.value.remedy) == ("Car" in controls)
    assert plan({"mode": "boxes", "label": "Bus"}, controls).is_on


def test_no_prompt_is_needed_and_each_image_has_its_own_control() -> None:
    xml = (
        f'<View>{IMAGE}{brush()}<Image name="second" value="$second"/>'
        '<PolygonLabels name="polygon" toName="second"><Label value="Car"/></PolygonLabels></View>'
    )
    made = Plan.of(Settings(), config.parse(xml, prompted=False), EVERYTHING)
    assert {name: chosen.control.name for name, chosen in made.choices().items()} == {
        "image": "brush",
        "second": "polygon",
    }
    brushes = Plan.of(Settings(answer="brush"), config.parse(xml, prompted=False), EVERYTHING)
    assert set(brushes.choices()) == {"image"}
