"""An annotator clicks in Label Studio, and what is saved are masks of the things in the picture."""

from typing import Any

import pytest

from examples.demo.label_studio import LabelStudio
from examples.demo.scenes import fruit, upright
from tests.e2e.browser import BOXES, POINTS, LabelingPage, Suggestion, wait_for
from tests.e2e.conftest import MakeTask
from tests.e2e.masks import Point, bitmap, box, iou, middle, share

pytestmark = pytest.mark.e2e

LEAST_IOU = 0.8
FRUIT_POINT, LEAF_POINT, LEAF_BOX = "keypoint:Fruit", "keypoint:Leaf", "rectangle:Leaf"


def saved_regions(studio: LabelStudio, project: int) -> list[dict[str, Any]]:
    """The regions of the one annotation of the project's one task, as soon as it is saved."""
    (annotation,) = wait_for(lambda: studio.tasks(project)[0]["annotations"], "saved annotation")
    regions: list[dict[str, Any]] = annotation["result"]
    return regions


def click_both(page: LabelingPage, first: Point, second: Point, *, alt: bool = False) -> Suggestion:
    """The suggestion after a click on the first point and one, perhaps with Alt, on the second."""
    page.choose(POINTS, FRUIT_POINT)
    page.click(*first)
    one = page.suggestion()
    page.choose(POINTS, FRUIT_POINT)
    page.click(*second, alt=alt)
    return page.suggestion(after=one)


def test_clicks_and_a_box_become_saved_masks(page: LabelingPage, studio: LabelStudio, make_task: MakeTask) -> None:
    """Clicks, one of them with Alt, accepted; a box with another label, accepted; submitted: two brush masks."""
    scene = fruit()
    leaf, apple, pear = scene.visible[:3]
    project, task = make_task(scene)
    page.open_task(project, task)

    both = click_both(page, middle(pear), middle(apple))
    page.reject()
    not_the_apple = click_both(page, middle(pear), middle(apple), alt=True)
    page.accept()
    shares = [share(bitmap(shown.rle, scene.rgb.shape), apple) for shown in (both, not_the_apple)]
    print("Share of the apple with a click on it, and with Alt+click:", shares)
    assert shares[0] > 0.5
    assert shares[1] < 0.05

    page.choose(BOXES, LEAF_BOX)
    page.drag(*box(leaf))
    page.suggestion()
    page.accept()
    page.submit()

    regions = saved_regions(studio, project)
    assert [region["type"] for region in regions] == ["brushlabels", "brushlabels"]
    assert [region["from_name"] for region in regions] == ["brush", "brush"]
    assert [region["value"]["brushlabels"] for region in regions] == [["Fruit"], ["Leaf"]]
    assert {(region["original_width"], region["original_height"]) for region in regions} == {(1200, 800)}
    masks = [bitmap(region["value"]["rle"], scene.rgb.shape) for region in regions]
    found = [iou(mask, truth) for mask, truth in zip(masks, (pear, leaf), strict=True)]
    print("IoU of the pear and the leaf:", found)
    assert min(found) >= LEAST_IOU


def test_a_photo_that_is_stored_lying_down(page: LabelingPage, studio: LabelStudio, make_task: MakeTask) -> None:
    """EXIF turns the picture upright in the browser, and the mask is on the thing that was clicked there."""
    scene = upright()
    apple = scene.visible[0]
    project, task = make_task(scene, lying=True)
    page.open_task(project, task)

    page.choose(POINTS, FRUIT_POINT)
    page.click(*middle(apple))
    page.suggestion()
    page.accept()
    page.submit()

    (region,) = saved_regions(studio, project)
    assert (region["original_width"], region["original_height"]) == (800, 1200)
    assert region["value"]["brushlabels"] == ["Fruit"]
    assert iou(bitmap(region["value"]["rle"], scene.rgb.shape), apple) >= LEAST_IOU


def test_accepting_at_once(page: LabelingPage, studio: LabelStudio, make_task: MakeTask) -> None:
    """With Auto-Accept Suggestions on, one click leaves one region and no prompt."""
    scene = fruit()
    leaf = scene.visible[0]
    project, task = make_task(scene)
    page.open_task(project, task, auto_accept=True)

    page.choose(POINTS, LEAF_POINT)
    page.click(*middle(leaf))
    wait_for(
        lambda: [(region["type"], region["prompt"]) for region in page.regions()] == [("brushregion", False)], "region"
    )
    page.submit()

    (region,) = saved_regions(studio, project)
    assert region["type"] == "brushlabels"
    assert iou(bitmap(region["value"]["rle"], scene.rgb.shape), leaf) >= LEAST_IOU
