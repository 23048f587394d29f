"""What stands in a task: what is accepted, and which brush region a click corrects. Never another's, never a guess."""

import copy
import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sam_backend.labelstudio import config, existing, prompts, rle
from sam_backend.labelstudio.prompts import PromptRequest
from sam_backend.labelstudio.streams import Streams, plain
from sam_backend.sam.types import Size
from tests.support import recordings

CONFIG = config.parse("""
<View>
  <Image name="image" value="$image"/><Image name="second" value="$second"/>
  <BrushLabels name="brush" toName="image,second"><Label value="Car" alias="c"/><Label value="Boat"/></BrushLabels>
  <BrushLabels name="other" toName="image"><Label value="Car"/><Label value="Boat"/></BrushLabels>
  <Brush name="plain" toName="image"/>
  <KeyPointLabels name="points" toName="image,second"><Label value="Car"/><Label value="Boat"/></KeyPointLabels>
  <KeyPoint name="bare" toName="image"/>
  <RectangleLabels name="boxes" toName="image"><Label value="Car"/></RectangleLabels>
</View>
""")
SIZE = (80, 120)


def disc(x: float, y: float, radius: float = 15, size: Size = SIZE) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.asarray(np.hypot(columns + 0.5 - x, rows + 0.5 - y) <= radius)


CAR = disc(40, 40)


def brush(bitmap: NDArray[np.bool_] = CAR, region_id: Any = "car", label: Any = "c", **more: Any) -> dict[str, Any]:
    return {
        "id": region_id,
        "type": "brushlabels",
        "from_name": "brush",
        "to_name": "image",
        "original_width": bitmap.shape[1],
        "original_height": bitmap.shape[0],
        "value": {"format": "rle", "rle": rle.encode(bitmap), "brushlabels": [label]},
    } | more


def click(x: float, y: float, *, positive: bool = True, label: str = "Car", **more: Any) -> dict[str, Any]:
    """A keypoint at a pixel's coordinates."""
    return {
        "id": "prompt",
        "type": "keypointlabels",
        "from_name": "points",
        "to_name": "image",
        "original_width": SIZE[1],
        "original_height": SIZE[0],
        "value": {"x": 100 * x / SIZE[1], "y": 100 * y / SIZE[0], "keypointlabels": [label]},
        "is_positive": positive,
    } | more


def asked(*regions: dict[str, Any]) -> PromptRequest:
    request = prompts.parse({"result": list(regions)}, CONFIG)
    assert request is not None
    return request


def draft(*regions: Any, **more: Any) -> dict[str, Any]:
    return {"id": 1, "annotation": None, "result": list(regions)} | more


def task(drafts: Any = (), annotations: Any = (), predictions: Any = ()) -> dict[str, Any]:
    lists = {"drafts": drafts, "annotations": annotations, "predictions": predictions}
    return {"id": 1} | {key: list(value) if isinstance(value, tuple) else value for key, value in lists.items()}


def lifted(standing: dict[str, Any]) -> dict[str, Any]:
    """The task as the server reads it; as it is where JSON cannot say it."""
    try:
        text = json.dumps(standing, allow_nan=False)
    except ValueError:
        return standing
    read: dict[str, Any] = Streams().loads(text.encode())
    return read


def found(standing: dict[str, Any], *regions: dict[str, Any]) -> str | None:
    """The region that a negative click on the car corrects, or these prompts; whoever read the task."""
    request = asked(*(regions or (click(40, 40, positive=False),)))
    painted, again = (existing.hit(one, request, CONFIG, SIZE) for one in (standing, lifted(standing)))
    assert (painted is None) == (again is None)
    if painted is None or again is None:
        return None
    assert (painted.region_id, painted.labels) == (again.region_id, again.labels)
    assert np.array_equal(painted.bitmap, again.bitmap)
    written = orjson.loads(orjson.dumps(again.results, default=plain))
    assert written == [json.loads(json.dumps(result)) for result in painted.results]
    return painted.region_id


# ------------------------------------------------------------------------------------------------------ the recording


def recorded(region: dict[str, Any]) -> tuple[dict[str, Any], PromptRequest, config.LabelConfig]:
    """The recorded click on an accepted region; the recording's own stream is cut short, `region` says what it was."""
    body = copy.deepcopy(recordings.read("H6_ctrl_click_on_accepted_brush__predict").body)
    assert body is not None
    standing = body["tasks"][0]
    standing["drafts"][0]["result"][0] |= region
    label_config = config.parse(body["label_config"])
    request = prompts.parse(body["params"]["context"], label_config)
    assert request is not None
    return standing, request, label_config


def test_the_recorded_click_on_an_accepted_region_finds_it() -> None:
    bitmap = recordings.PLAIN.objects["left"]
    value = {"format": "rle", "rle": rle.encode(bitmap), "brushlabels": ["Airplane"]}
    painted = existing.hit(*recorded({"value": value}), (800, 1200))
    assert painted is not None
    assert (painted.region_id, painted.control.name, painted.labels) == ("c5fead9e", "brush", ("Airplane",))
    assert np.array_equal(painted.bitmap, bitmap)


def test_the_recorded_stream_that_was_cut_short_is_no_region() -> None:
    assert existing.hit(*recorded({}), (800, 1200)) is None


def test_the_recorded_draft_holds_the_region_and_the_prompt() -> None:
    assert existing.region_ids(recorded({})[0]) == {"c5fead9e", "57uz2MQhCc"}


# ------------------------------------------------------------------------------------------------- where the click is


def test_the_whole_region_is_handed_over() -> None:
    painted = existing.hit(task([draft(brush())]), asked(click(40, 40)), CONFIG, SIZE)
    assert painted is not None
    assert painted.bitmap.dtype == np.bool_
    assert np.array_equal(painted.bitmap, CAR)
    assert (painted.region_id, painted.control.name, painted.labels) == ("car", "brush", ("c",))


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize(("x", "expected"), [(40, "car"), (54.9, "car"), (57.5, "car"), (59, None), (90, None)])
def test_a_click_on_or_right_beside_a_region_corrects_it(x: float, expected: str | None, *, positive: bool) -> None:
    assert found(task([draft(brush())]), click(x, 40, positive=positive)) == expected


def test_beside_means_half_a_percent_of_a_large_picture() -> None:
    assert existing.margin((80, 120)) == 3
    assert existing.margin((3000, 4000)) == 20


def test_the_first_click_decides() -> None:
    standing = task([draft(brush(), brush(disc(100, 40, 8), "far"))])
    assert found(standing, click(40, 40), click(100, 40, id="next")) == "car"
    assert found(standing, click(75, 40), click(40, 40, id="next")) is None


def test_of_two_regions_neither_is_guessed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    standing = task([draft(brush(), brush(disc(50, 40), "too"))])
    assert found(standing, click(45, 40)) is None
    assert "is on 2 regions" in caplog.text
    touching = task([draft(brush(CAR & (np.arange(120) < 40)), brush(CAR & (np.arange(120) >= 41), "too"))])
    assert found(touching, click(40.5, 40)) is None


def test_a_click_on_one_region_near_another_means_the_one() -> None:
    standing = task([draft(brush(disc(40, 40, 10)), brush(disc(62, 40, 10), "beside"))])
    assert found(standing, click(49.5, 40)) == "car"
    assert found(standing, click(52.5, 40)) == "beside"
    assert found(standing, click(51, 40)) is None


@given(st.floats(0, 120), st.floats(0, 80), st.integers(0, 2**32))
def test_a_region_is_found_exactly_within_the_margin(x: float, y: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    bitmap = random.random(SIZE) < random.choice([0.0005, 0.02, 0.5])
    rows, columns = np.nonzero(bitmap)
    center = np.stack([columns, rows], -1) + 0.5
    away = np.linalg.norm(np.maximum(np.abs(center - (x, y)) - 0.5, 0), axis=-1).min(initial=np.inf)
    assert found(task([draft(brush(bitmap))]), click(x, y)) == ("car" if away <= 3 else None)


# ------------------------------------------------------------------------------------------------ whose region it is


def test_rectangles_correct_nothing() -> None:
    box = {"x": 20, "y": 20, "width": 30, "height": 30, "rotation": 0, "rectanglelabels": ["Car"]}
    region = click(40, 40) | {"type": "rectanglelabels", "from_name": "boxes", "value": box}
    assert found(task([draft(brush())]), region) is None


@pytest.mark.parametrize(
    "other",
    [
        {"label": "Boat"},
        {"to_name": "second"},
        {"item_index": 0},
        {"from_name": "unknown"},
        {"from_name": None},
        {"type": "polygonlabels"},
        {"original_width": 121},
        {"original_height": None},
        {"readonly": True},
        {"region_id": None},
        {"region_id": ["car"]},
    ],
    ids=str,
)
def test_a_region_of_another_label_image_kind_or_size_is_left_alone(other: dict[str, Any]) -> None:
    assert found(task([draft(brush(**other))])) is None


def test_the_page_of_a_list_decides() -> None:
    standing = task([draft(brush(item_index=0), brush(region_id="next page", item_index=1))])
    assert found(standing, click(40, 40, item_index=1)) == "next page"


def test_the_other_image_of_a_task_has_its_own_regions() -> None:
    standing = task([draft(brush(), brush(region_id="there", to_name="second"))])
    assert found(standing, click(40, 40, to_name="second")) == "there"


def test_each_control_knows_the_label_by_its_own_name() -> None:
    named = brush(region_id="named", from_name="other", label="Car")
    assert found(task([draft(named)])) == "named"
    assert found(task([draft(brush(from_name="other", label="c"))])) is None


def test_a_brush_without_labels_goes_with_any_label() -> None:
    region = brush(region_id="plain", from_name="plain", type="brush")
    del region["value"]["brushlabels"]
    assert found(task([draft(region)])) == "plain"
    bare = click(40, 40, type="keypoint", from_name="bare")
    del bare["value"]["keypointlabels"]
    assert found(task([draft(brush(), region)]), bare) == "plain"


def test_the_picture_must_be_the_one_that_the_browser_saw() -> None:
    assert existing.hit(task([draft(brush())]), asked(click(40, 40)), CONFIG, (160, 240)) is None


# ------------------------------------------------------------------------------------------------------ who works here


def test_a_draft_stands_for_the_annotation_that_it_is_of() -> None:
    old, new = brush(region_id="old"), brush(disc(50, 40), "new")
    standing = task([draft(new, annotation=7)], [{"id": 7, "result": [old]}])
    assert found(standing) == "new"
    assert existing.region_ids(standing) == {"old", "new"}


def test_one_region_in_a_draft_and_an_annotation_is_one() -> None:
    assert found(task([draft(brush())], [{"id": 7, "result": [brush()]}])) == "car"


def test_one_region_that_differs_between_two_annotators_is_not_guessed() -> None:
    standing = task((), [{"id": 7, "result": [brush()]}, {"id": 8, "result": [brush(disc(41, 40))]}])
    assert found(standing) is None


def test_two_annotators_regions_on_one_object_are_not_guessed() -> None:
    standing = task((), [{"id": 7, "result": [brush()]}, {"id": 8, "result": [brush(region_id="theirs")]}])
    assert found(standing) is None


def test_the_draft_that_holds_the_prompt_is_the_askers_own() -> None:
    mine = draft(brush(region_id="mine"), click(40, 40))
    theirs = [{"id": 8, "result": [brush(region_id="theirs")]}]
    assert found(task([mine], theirs, theirs)) == "mine"
    assert found(task([draft(click(40, 40))], theirs, theirs)) is None


def test_predictions_count_until_somebody_works() -> None:
    predictions = [{"result": [brush(region_id="predicted")]}]
    assert found(task((), (), predictions)) == "predicted"
    assert found(task([draft()], (), predictions)) is None
    assert found(task((), [{"id": 7, "result": []}], predictions)) is None


def test_predictions_are_not_known_to_be_accepted() -> None:
    assert existing.region_ids(task((), (), [{"result": [brush()]}])) == frozenset()


# ----------------------------------------------------------------------------------------------------------- bad input

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


def spoiled(document: Any, random: np.random.Generator, junk: Any) -> Any:
    """The document with one of its parts, at any depth, replaced."""
    inside = list(document) if isinstance(document, dict) else []
    if not inside or random.random() < 0.2:
        return junk
    key = inside[random.integers(len(inside))]
    part = document[key]
    if isinstance(part, list) and part and random.random() < 0.9:
        return document | {key: [spoiled(part[0], random, junk), *part[1:]]}
    return document | {key: spoiled(part, random, junk)}


@given(st.integers(0, 2**32), JSON)
def test_a_malformed_part_counts_for_nothing(seed: int, junk: Any) -> None:
    random = np.random.default_rng(seed)
    works: dict[str, Any] = {"drafts": draft(brush()), "annotations": draft(brush()), "predictions": draft(brush())}
    chosen = random.permutation(list(works))[: random.integers(1, 4)]
    broken = task() | {str(key): [spoiled(works[key], random, junk)] for key in chosen}
    junk_id = {junk} if isinstance(junk, str) else set()
    assert existing.region_ids(broken) <= {"car"} | junk_id
    assert {found(broken)} <= {"car", None} | junk_id


@pytest.mark.parametrize("nothing", [None, 0, "drafts", {}, [None], [[]], [{}], [{"result": None}], [{"result": "x"}]])
def test_nothing_stands_in_a_task_that_says_nothing(nothing: Any) -> None:
    standing = task(nothing, nothing, nothing)
    assert existing.region_ids(standing) == frozenset()
    assert found(standing) is None
    assert found({}) is None


def test_a_stream_of_another_size_or_cut_short_is_no_region() -> None:
    stream = rle.encode(CAR)
    for wrong in (stream[:-9], rle.encode(disc(40, 40, size=(80, 121))), [], ["x"], [999]):
        region = brush()
        region["value"]["rle"] = wrong
        assert found(task([draft(region)])) is None


def test_too_many_regions_are_not_looked_through(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    many = [brush(disc(100, 40, 5), region_id=f"number {number}") for number in range(5000)]
    assert found(task([draft(brush(), *many[:1000])])) == "car"
    assert found(task([draft(brush(), *many)])) is None
    assert "too much" in caplog.text


@pytest.mark.parametrize("place", ["annotations", "predictions"])
def test_who_labels_anew_what_another_has_labeled_gets_no_mask_of_theirs(place: str) -> None:
    """A plain click in a new annotation lands where somebody else's region is, which the asker does not see."""
    standing = task(**{place: [draft(brush())]})
    assert found(standing, click(40, 40)) is None
    assert found(standing, click(40, 40, positive=False)) == "car"
    assert found(standing, click(40, 40 + 17)) == "car"
    assert found(task([draft(brush())]), click(40, 40)) == "car"


# ---------------------------------------------------------------------------------------------- what is left as it is


@pytest.mark.parametrize("strokes", [{"touches": [{"x": 1}]}, {"maskDataURL": "data:image/png;base64,"}])
def test_a_region_with_strokes_that_are_not_in_its_rle_is_left_alone(strokes: dict[str, Any]) -> None:
    """The editor keeps an annotator's own strokes beside the RLE until it is submitted; an answer would drop them."""
    painted = brush()
    painted["value"] |= strokes
    assert found(task([draft(painted)])) is None
    assert found(task([draft(painted | {"value": painted["value"] | dict.fromkeys(strokes)})])) == "car"


@pytest.mark.parametrize("ends", [("car", "other"), ("other", "car")])
def test_a_region_that_a_relation_names_is_left_alone(ends: tuple[str, str]) -> None:
    """Suggested anew, it would break the editor's page."""
    relation = {"type": "relation", "from_id": ends[0], "to_id": ends[1]}
    assert found(task([draft(brush(), relation)])) is None
    assert found(task([draft(brush(), relation | {"from_id": "b", "to_id": "c"})])) == "car"


def test_all_that_stands_under_the_regions_id_is_handed_over_the_painted_one_first() -> None:
    choice = {"id": "car", "type": "choices", "from_name": "damage", "to_name": "image", "value": {"choices": ["dent"]}}
    standing = task([draft(choice, brush(meta={"text": ["seen"]}), choice | {"id": "other"})])
    painted = existing.hit(standing, asked(click(40, 40)), CONFIG, SIZE)
    assert painted is not None
    assert list(painted.results) == [brush(meta={"text": ["seen"]}), choice]


def test_the_label_of_a_plain_brush_stands_beside_it() -> None:
    label_config = config.parse("""<View><Image name="image" value="$image"/><Brush name="plain" toName="image"/>
      <Labels name="labels" toName="image"><Label value="Car"/><Label value="Boat"/></Labels>
      <KeyPointLabels name="points" toName="image"><Label value="Car"/><Label value="Boat"/></KeyPointLabels></View>""")
    painted = brush(type="brush", from_name="plain")
    del painted["value"]["brushlabels"]
    labelled = painted | {"type": "labels", "from_name": "labels", "value": {"labels": ["Car"]}}
    standing = task([draft(painted, labelled)])
    for label, corrected in (("Car", True), ("Boat", False)):
        request = prompts.parse({"result": [click(40, 40, label=label)]}, label_config)
        assert request is not None
        assert (existing.hit(standing, request, label_config, SIZE) is not None) == corrected
