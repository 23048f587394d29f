"""Prompts that work together: each click improves the mask that is there, a suggested one or one that was accepted."""

import itertools

import pytest

from examples.demo.drawing import Bitmap
from examples.demo.label_studio import LabelStudio
from tests.e2e.browser import wait_for
from tests.e2e.conftest import MakeTask
from tests.e2e.labeling_page import BOXES, POINTS, LabelingPage
from tests.e2e.masks import bitmap, box, innermost, iou, next_click, painted, region_mask, share
from tests.e2e.projects import annotate, predict, saved_regions, wait_for_draft
from tests.e2e.scenes import mushroom, parts

pytestmark = pytest.mark.e2e

POINT, BOX = "keypoint:Fruit", "rectangle:Fruit"


def accept_the_whole(page: LabelingPage, whole: Bitmap) -> str:
    """Accept what a box around the thing gives; the region's id."""
    page.choose(BOXES, BOX)
    page.drag(*box(whole))
    found = page.suggestion()
    page.accept()
    return found.id


def test_box_then_alt_click_removes_the_part(page: LabelingPage, studio: LabelStudio, make_task: MakeTask) -> None:
    """Label Studio sends the click without the box; the answer has the box's thing without the part.

    With Ctrl, as everywhere on a region: without, the click would select the rectangle.
    """
    scene = mushroom()
    stem, cap, whole = parts(scene)
    project, task = make_task(scene)
    page.open_task(project, task)

    page.choose(BOXES, BOX)
    page.drag(*box(whole))
    boxed = page.suggestion()
    page.choose(POINTS, POINT)
    page.click(*innermost(stem), alt=True, ctrl=True)
    page.suggestion(after=boxed)
    page.accept()
    page.submit()

    before = bitmap(boxed.rle, scene.rgb.shape)
    (region,) = saved_regions(studio, project)
    after = region_mask(region)
    print("Shares of stem and cap, box alone:", share(before, stem), share(before, cap))
    print("Shares of stem and cap, then Alt+click on the stem:", share(after, stem), share(after, cap))
    assert share(before, stem) > 0.6
    assert share(after, stem) < 0.2
    assert share(after, cap) > 0.8


def test_three_clicks_get_better_and_never_much_worse(page: LabelingPage, make_task: MakeTask) -> None:
    """The first click means the stem alone or the mushroom; the next ones, each in the largest error, settle it."""
    scene = mushroom()
    stem, _, whole = parts(scene)
    page.open_task(*make_task(scene))

    shown, point, is_positive, found = None, innermost(stem), True, []
    for _ in range(3):
        page.choose(POINTS, POINT)
        page.click(*point, alt=not is_positive)
        shown = page.suggestion(after=shown)
        mask = bitmap(shown.rle, scene.rgb.shape)
        found.append(iou(mask, whole))
        point, is_positive = next_click(mask, whole)
    print("IoU after each of three clicks:", found)
    assert found[-1] >= found[0] + 0.1
    assert min(later - earlier for earlier, later in itertools.pairwise(found)) >= -0.02


@pytest.mark.parametrize("stands_in", ["the page", "the draft", "a prediction"])
def test_ctrl_alt_click_cuts_a_piece_off_a_mask_that_stands(
    page: LabelingPage, studio: LabelStudio, make_task: MakeTask, stands_in: str
) -> None:
    """The region that was accepted, a moment or a while ago, or predicted becomes smaller; there is no second one."""
    scene = mushroom()
    stem, cap, whole = parts(scene)
    project, task = make_task(scene)
    if stands_in == "a prediction":
        region_id = predict(studio, task, painted(whole, "Fruit") | {"from_name": "brush", "to_name": "image"})
        page.open_task(project, task)
    else:
        page.open_task(project, task)
        region_id = accept_the_whole(page, whole)
    if stands_in == "the draft":
        wait_for_draft(studio, task, region_id)

    page.choose(POINTS, POINT)
    page.click(*innermost(stem), alt=True, ctrl=True)
    assert page.suggestion().id == region_id
    page.accept()
    assert [region.id for region in page.editor.regions] == [region_id]
    page.submit()

    (region,) = saved_regions(studio, project)
    mask = region_mask(region)
    print("Shares of stem and cap after the cut:", share(mask, stem), share(mask, cap))
    assert region["id"] == region_id
    assert region["value"]["brushlabels"] == ["Fruit"]
    assert share(mask, stem) < 0.2
    assert share(mask, cap) > 0.8


def test_ctrl_click_adds_to_a_saved_mask_and_keeps_what_was_said_of_it(
    page: LabelingPage, studio: LabelStudio, make_task: MakeTask
) -> None:
    """One click says which region of an opened annotation is meant, the next what it lacks; its notes stay with it.

    A click on a region that is in no draft yet may be somebody's who labels anew: it is answered with a new mask.
    """
    scene = mushroom()
    stem, cap, whole = parts(scene)
    project, task = make_task(scene, config="damage_inspection")
    region = painted(stem, "dent") | {"from_name": "damage", "to_name": "photo"}
    told = {key: region[key] for key in ("id", "to_name", "original_width", "original_height", "image_rotation")}
    severity = told | {"from_name": "severity", "type": "choices", "value": {"choices": ["unsafe"]}}
    note = told | {"from_name": "note", "type": "textarea", "value": {"text": ["Touched by a hand."]}}
    annotate(studio, task, [region, severity, note])
    page.open_task(project, task)

    page.choose(POINTS, "click:Dent")
    page.click(*innermost(stem), ctrl=True)
    new = page.suggestion()
    wait_for_draft(studio, task, region["id"])
    page.choose(POINTS, "click:Dent")
    page.click(*innermost(cap))
    assert page.suggestion(after=new).id == region["id"] != new.id
    page.accept()
    page.update()

    wait_for(lambda: share(region_mask(saved_regions(studio, project)[0]), cap) > 0.5, "saved correction")
    saved = {one["from_name"]: one for one in saved_regions(studio, project)}
    assert {one["id"] for one in saved.values()} == {region["id"]}
    assert saved["severity"]["value"]["choices"] == ["unsafe"]
    assert saved["note"]["value"]["text"] == ["Touched by a hand."]
    mask = region_mask(saved["damage"])
    print("Shares of stem and cap after the addition:", share(mask, stem), share(mask, cap), "IoU", iou(mask, whole))
    assert saved["damage"]["value"]["brushlabels"] == ["dent"]
    assert iou(mask, whole) > 0.8
