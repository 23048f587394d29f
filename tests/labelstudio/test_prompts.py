"""Regions become prompts: which of them count, where they point, and which are malformed."""

import logging
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam_backend.errors import BodyError, PromptError
from sam_backend.labelstudio import config, prompts
from sam_backend.labelstudio.prompts import PromptRequest
from sam_backend.labelstudio.regions import Click, Rectangle, new_region_id

CONFIG = config.parse("""
<View>
  <Image name="image" value="$image"/><Image name="second" value="$second"/><Image name="seen" value="$seen"/>
  <BrushLabels name="brush" toName="image,second"><Label value="Car"/><Label value="Boat"/></BrushLabels>
  <KeyPointLabels name="points" toName="image,second,seen"><Label value="Car"/><Label value="Boat"/></KeyPointLabels>
  <KeyPointLabels name="more" toName="image"><Label value="Car"/></KeyPointLabels>
  <KeyPoint name="plain" toName="image"/>
  <RectangleLabels name="boxes" toName="image"><Label value="Car"/><Label value="Boat"/></RectangleLabels>
</View>
""")
SIZE = (800, 1200)


def point(x: Any = 25.0, y: Any = 50.0, *, positive: Any = True, label: str = "Car", **more: Any) -> dict[str, Any]:
    return {
        "original_width": 1200,
        "original_height": 800,
        "image_rotation": 0,
        "value": {"x": x, "y": y, "width": 0.2, "labels": [label], "keypointlabels": [label]},
        "is_positive": positive,
        "id": "first",
        "from_name": "points",
        "to_name": "image",
        "type": "keypointlabels",
        "origin": "manual",
    } | more


def box(x: Any = 10.0, y: Any = 20.0, width: Any = 30.0, height: Any = 40.0, **more: Any) -> dict[str, Any]:
    region = point(from_name="boxes", type="rectanglelabels", **more)
    del region["is_positive"]
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": ["Car"]}
    return region | {"value": value | more.get("value", {})}


def read(*regions: Any) -> PromptRequest | None:
    return prompts.parse({"result": list(regions)}, CONFIG)


def asked(*regions: Any) -> PromptRequest:
    request = read(*regions)
    assert request is not None
    return request


def clicked(*regions: Any) -> list[tuple[float, float, bool]]:
    return [(click.x, click.y, click.is_positive) for click in asked(*regions).clicks]


def test_a_click_becomes_a_point_in_original_pixels() -> None:
    prompt = prompts.to_prompt(asked(point(25.5, 33.3)), SIZE)
    assert prompt.points.tolist() == [[25.5 / 100 * 1200, 33.3 / 100 * 800]]
    assert prompt.points.dtype == np.float64
    assert prompt.point_labels.tolist() == [1]
    assert prompt.point_labels.dtype == np.int64
    assert prompt.boxes.shape == (0, 4)
    assert (prompt.label, prompt.region_id) == ("Car", "first")


def test_a_rectangle_becomes_a_box_in_original_pixels() -> None:
    prompt = prompts.to_prompt(asked(box()), SIZE)
    assert prompt.boxes.tolist() == [[120.0, 160.0, 480.0, 480.0]]
    assert prompt.boxes.dtype == np.float64
    assert prompt.points.shape == (0, 2)
    assert prompt.point_labels.shape == (0,)


@given(st.floats(0, 100), st.floats(0, 100), st.integers(1, 9000), st.integers(1, 9000))
def test_coordinates_are_not_rounded(x: float, y: float, height: int, width: int) -> None:
    region = point(x, y, original_height=height, original_width=width)
    [[left, top]] = prompts.to_prompt(asked(region), (height, width)).points.tolist()
    assert left == pytest.approx(x * width / 100, rel=1e-12)
    assert top == pytest.approx(y * height / 100, rel=1e-12)


def test_nothing_asked_is_no_request() -> None:
    assert read() is None


def test_clicks_of_one_label_belong_together_in_their_order() -> None:
    regions = [point(1, 2), point(3, 4, positive=False), point(5, 6)]
    assert clicked(*regions) == [(1, 2, True), (3, 4, False), (5, 6, True)]


def test_negative_clicks_alone_are_a_request() -> None:
    assert clicked(point(1, 2, positive=False)) == [(1, 2, False)]


def test_an_ordinary_keypoint_is_no_prompt() -> None:
    ordinary = point(9, 9)
    del ordinary["is_positive"]
    assert read(ordinary) is None
    assert read(point(9, 9, positive=None)) is None
    assert clicked(ordinary, point(1, 2), ordinary) == [(1, 2, True)]


def test_the_last_rectangle_is_taken() -> None:
    request = asked(box(1, 1), box(50, 40, 20, 10, id="last"))
    assert request.rectangle == Rectangle(50, 40, 20, 10, 0)
    assert request.region_id == "last"


@pytest.mark.parametrize(
    "other",
    [
        point(7, 7, label="Boat"),
        point(7, 7, to_name="second"),
        point(7, 7, from_name="more"),
        point(7, 7, item_index=1),
        box(7, 7),
    ],
    ids=["label", "image", "control", "item", "rectangle"],
)
def test_what_differs_from_the_newest_prompt_is_not_mixed_in(other: dict[str, Any]) -> None:
    assert clicked(point(1, 2), other, point(3, 4)) == [(1, 2, True), (3, 4, True)]


def test_the_newest_prompt_decides_the_rest() -> None:
    request = asked(point(1, 1), point(2, 2, label="Boat", item_index=2, image_rotation=90, id="newest"))
    assert request.labels == ("Boat",)
    assert (request.item_index, request.image_rotation, request.region_id) == (2, 90, "newest")
    assert request.clicks == (Click(2, 2, True),)


def test_each_item_of_a_list_may_have_its_own_size() -> None:
    """Label Studio mixes the prompts of all images of a task."""
    first = point(1, 1, item_index=0)
    second = point(50, 50, item_index=1, original_width=500, original_height=700)
    prompt = prompts.to_prompt(asked(first, second), (700, 500))
    assert prompt.points.tolist() == [[250.0, 350.0]]


@pytest.mark.parametrize(
    "unknown",
    [
        None,
        "text",
        3,
        [],
        {},
        {"type": "keypointlabels"},
        point(9, 9, from_name="gone"),
        point(9, 9, to_name="gone"),
        point(9, 9, type="polygonlabels"),
        point(9, 9, from_name="brush", type="brushlabels"),
        point(9, 9, to_name="seen"),
        {"type": "choices", "from_name": "c", "to_name": "image", "value": {"choices": ["x"]}},
        {"type": "relation", "from_id": "a", "to_id": "b"},
    ],
)
def test_unknown_regions_are_skipped(unknown: Any) -> None:
    assert read(unknown) is None
    assert clicked(point(1, 2), unknown) == [(1, 2, True)]


NUMBERS: list[Any] = [None, "50", True, math.nan, math.inf, -math.inf, -1.1, 101.1, 1e9, 10**400, [], {}]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_malformed_click_is_left_out_with_a_warning(number: Any, axis: str, caplog: pytest.LogCaptureFixture) -> None:
    broken = point(id="broken", value=point()["value"] | {axis: number})
    with caplog.at_level(logging.WARNING):
        assert clicked(point(1, 2), broken) == [(1, 2, True)]
    assert "'broken'" in caplog.text
    assert f"{axis} is " in caplog.text


@pytest.mark.parametrize("number", [*NUMBERS, 0, -5, 0.0], ids=repr)
@pytest.mark.parametrize("key", ["width", "height"])
def test_a_malformed_rectangle_alone_is_an_error(number: Any, key: str) -> None:
    if number == 101.1:  # over by the margin on both sides
        assert asked(box(**{key: number})).rectangle is not None
        return
    with pytest.raises(PromptError, match=f"{key}|no area"):
        read(box(**{key: number}))


@pytest.mark.parametrize(
    "broken",
    [
        point(value=None),
        point(value=[1, 2]),
        {key: value for key, value in point().items() if key != "value"},
        point(positive="false"),
        point(positive=1),
        point(item_index=-1),
        point(item_index="0"),
        point(item_index=True),
        box(value={"rotation": "90"}),
        box(value={"rotation": math.nan}),
    ],
)
def test_when_all_prompts_are_malformed_it_is_an_error(broken: dict[str, Any]) -> None:
    with pytest.raises(PromptError, match="No prompt can be used"):
        read(broken, broken)


def test_a_little_outside_of_the_image_is_passed_on() -> None:
    prompt = prompts.to_prompt(asked(point(-0.5, 100.5)), SIZE)
    assert np.allclose(prompt.points, [[-6, 804]])


def test_a_rectangle_is_cut_to_the_image() -> None:
    prompt = prompts.to_prompt(asked(box(-0.5, -1, 101, 101.5)), SIZE)
    assert prompt.boxes.tolist() == [[0.0, 0.0, 1200.0, 800.0]]


def test_a_rotated_rectangle_becomes_its_hull() -> None:
    """Turned by 90 degrees about its corner (50 %, 50 %), the 120×160 pixels lie left of and below the corner."""
    prompt = prompts.to_prompt(asked(box(50, 50, 10, 20, value={"rotation": 90})), SIZE)
    assert np.allclose(prompt.boxes, [[440, 400, 600, 520]])


@given(st.floats(5, 60), st.floats(5, 60), st.floats(1, 40), st.floats(1, 40), st.floats(-360, 360))
def test_a_hull_holds_all_corners(x: float, y: float, width: float, height: float, rotation: float) -> None:
    [hull] = prompts.to_prompt(asked(box(x, y, width, height, value={"rotation": rotation})), SIZE).boxes
    turn = np.exp(1j * math.radians(rotation))
    sides = (0, width * 12, height * 8j, width * 12 + height * 8j)
    corners = [complex(x * 12, y * 8) + turn * side for side in sides]
    xs, ys = (np.clip([getattr(c, part) for c in corners], 0, limit) for part, limit in (("real", 1200), ("imag", 800)))
    assert np.allclose(hull, [xs.min(), ys.min(), xs.max(), ys.max()], atol=1e-6)


def test_a_rectangle_that_is_turned_out_of_the_image_is_an_error() -> None:
    request = asked(box(-50, 99, 10, 30, value={"rotation": 45}))
    with pytest.raises(PromptError, match="outside of the image"):
        prompts.to_prompt(request, SIZE)


@pytest.mark.parametrize("size", [(1200, 800), (400, 610), (801, 1200)])
def test_an_image_of_other_proportions_than_the_browser_saw_is_an_error(size: tuple[int, int]) -> None:
    """Its mask would be shifted, or break Label Studio's canvas."""
    with pytest.raises(PromptError, match="800, 1200"):
        prompts.to_prompt(asked(point()), size)


@pytest.mark.parametrize("size", [(400, 600), (1600, 2400), (267, 400)])
def test_an_image_at_another_scale_has_the_click_at_the_same_place(size: tuple[int, int]) -> None:
    [[x, y]] = prompts.to_prompt(asked(point(25.5, 33.3)), size).points.tolist()
    assert (x, y) == pytest.approx((0.255 * size[1], 0.333 * size[0]))


def test_a_rectangle_of_ours_is_no_prompt() -> None:
    """An accepted answer of the rectangle's own control and label comes along with each request."""
    answered = box(70, 70, 20, 20, id=new_region_id())
    assert read(answered) is None
    assert asked(box(1, 1, id="asked"), answered).prompt_ids == ("asked",)


def test_all_rectangles_of_a_label_are_there_the_newest_last() -> None:
    request = asked(box(1, 1, id="one"), box(50, 40, id="two"))
    assert [rectangle.x for rectangle in request.rectangles] == [1, 50]
    assert request.prompt_ids == ("one", "two")


@pytest.mark.parametrize("missing", [None, "1200", {}, 0, -1200])
def test_without_the_browsers_size_the_image_has_its_own(missing: Any) -> None:
    request = asked(point(50, 50, original_width=missing))
    assert prompts.to_prompt(request, (10, 20)).points.tolist() == [[10.0, 5.0]]


def test_a_keypoint_without_labels_has_the_labels_beside_it() -> None:
    region = point(from_name="plain", type="keypoint")
    region["value"] = {"x": 1, "y": 2, "width": 0.2, "labels": ["Car"]}
    assert asked(region).labels == ("Car",)
    region["value"] = {"x": 1, "y": 2, "width": 0.2}
    assert asked(region).labels == ()
    assert prompts.to_prompt(asked(region), SIZE).label is None


@pytest.mark.parametrize("labels", ["Car", 3, [3], [None], {}])
def test_labels_of_another_kind_are_none(labels: Any) -> None:
    assert asked(point(value={"x": 1, "y": 2, "keypointlabels": labels})).labels == ()


@pytest.mark.parametrize("rotation", [None, "90", math.nan, math.inf])
def test_a_rotation_that_is_no_number_is_none(rotation: Any) -> None:
    assert asked(point(image_rotation=rotation)).image_rotation == 0


@pytest.mark.parametrize("context", [{}, {"result": None}, {"result": {}}, {"result": "[]"}])
def test_a_context_without_a_list_is_an_error(context: dict[str, Any]) -> None:
    with pytest.raises(BodyError, match="result"):
        prompts.parse(context, CONFIG)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from(sorted(point() | {"item_index": 0})), JSON) | JSON, max_size=3))
def test_any_json_is_a_request_or_a_named_error(regions: list[Any]) -> None:
    for extra in ([], [point(1, 2) | region if isinstance(region, dict) else region for region in regions]):
        try:
            request = read(*regions, *extra)
        except PromptError:
            continue
        if request is not None and (request.original_size is None or min(request.original_size) > 0):
            prompt = prompts.to_prompt(request, request.original_size or SIZE)
            assert np.isfinite(prompt.points).all()


@pytest.mark.parametrize("value", [{"labels": ["Car"]}, {"labels": "Car"}, None])
def test_the_label_of_a_rectangle_without_labels_of_its_own_stands_beside_it(value: Any) -> None:
    """So does the editor send a smart `<Rectangle>` that a `<Labels>` gave its label."""
    found = config.parse("""<View><Image name="image" value="$image"/><Brush name="brush" toName="image"/>
      <Labels name="labels" toName="image"><Label value="Car"/></Labels>
      <Rectangle name="plain" toName="image" smart="true"/></View>""")
    shape = box() | {"from_name": "plain", "type": "rectangle"}
    del shape["value"]["rectanglelabels"]
    labelled = shape | {"from_name": "labels", "type": "labels", "value": value}
    request = prompts.parse({"result": [shape, labelled]}, found)
    assert request is not None
    assert request.labels == (("Car",) if value == {"labels": ["Car"]} else ())
    assert request.rectangle is not None
