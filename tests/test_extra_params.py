"""A model connection's extra params: read over the environment's settings, and refused by name when wrong."""

from typing import Any

import pytest

from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.errors import ExtraParamsError
from sam_backend.preannotation import extra_params

OWN = AutomaticSettings(mode="boxes", points_per_side=7)


@pytest.mark.parametrize("nothing", [None, "", "  ", "null", {}, "{}"])
def test_nothing_leaves_the_environments_settings(nothing: object) -> None:
    assert extra_params.merge(OWN, nothing) == OWN


@pytest.mark.parametrize("given", [{"mode": "everything", "label": "Car"}, '{"mode": "everything", "label": "Car"}'])
def test_what_is_given_goes_before_the_environment(given: object) -> None:
    expected = AutomaticSettings(mode="everything", label="Car", points_per_side=7)
    assert extra_params.merge(OWN, given) == expected


def test_all_parameters_can_be_given() -> None:
    given: dict[str, Any] = AutomaticSettings(mode="everything", crop_n_layers=1).model_dump(mode="json")
    given |= {"points_per_side": None, "point_grids": [[[0.5, 0.5]], [[0, 1], [1, 0]]], "guided": True}
    merged = extra_params.merge(OWN, given)
    assert merged.point_grids == (((0.5, 0.5),), ((0, 1), (1, 0)))
    assert merged.guided
    assert merged.points_per_side is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mod": "everything"}, "mod is not a parameter .* Did you mean mode"),
        ({"SAM_POINTS_PER_SIDE": 3}, "SAM_POINTS_PER_SIDE is not a parameter .* Did you mean points_per_side"),
        ({"hello": "world"}, "hello is not a parameter .* There are mode, label"),
        ({"mode": "all"}, "mode = 'all'"),
        ({"points_per_side": 0}, "points_per_side = 0"),
        ({"points_per_side": "16"}, "points_per_side = '16'"),
        ({"points_per_side": True}, "points_per_side = True"),
        ({"points_per_side": 1.5}, "points_per_side = 1.5"),
        ({"points_per_side": None}, "points_per_side or point_grids"),
        ({"pred_iou_thresh": [1]}, r"pred_iou_thresh = \[1\]"),
        ({"guided": 1}, "guided = 1: must be true or false"),
        ({"guided": "yes"}, "guided = 'yes'"),
        ({"label": 5}, "label = 5"),
        ({"point_grids": [[[0, 2]]]}, "point_grids.0.0.1 = 2"),
        ({"point_grids": "[[0"}, "point_grids"),
        ({"point_grids": "[" * 100_000}, "too deep"),
        ({"min_area": 0.5, "max_area": 0.1}, "min_area is more than max_area"),
        ("a text", "extra_params is not JSON"),
        ('"a text"', "extra_params is str, not an object"),
        ("[1]", "extra_params is list, not an object"),
        ("[" * 100_000, "extra_params is not JSON"),
        ([{"mode": "off"}], "extra_params is list, not an object"),
        (7, "extra_params is int, not an object"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_named(given: object, said: str) -> None:
    with pytest.raises(ExtraParamsError, match=said) as refused:
        extra_params.merge(OWN, given)
    assert refused.value.remedy
    assert refused.value.status == 422
