"""An annotator clicks in Label Studio, and what is saved are masks of the things in the picture."""

import pytest

from examples.demo.label_studio import LabelStudio
from examples.demo.scenes import fruit
from tests.e2e.browser import wait_for
from tests.e2e.conftest import MakeTask
from tests.e2e.editor import Suggestion
from tests.e2e.labeling_page import BOXES, POINTS, LabelingPage
from tests.e2e.masks import Point, bitmap, box, iou, middle, region_mask, share
from tests.e2e.projects import saved_regions

pytestmark = pytest.mark.e2e

LEAST_IOU = 0.8
FRUIT_POINT, LEAF_BOX = "keypoint:Fruit", "rectangle:Leaf"


def click_both(page: LabelingPage, first: Point, second: Point, *, alt: bool = False) -> Suggestion:
    """The suggestion after a click on the first point and one, perhaps with Alt, on the second."""
    page.choose(POINTS, FRUIT_POINT)
    page.click(*first)
    one = page.suggestion()
    page.choose(POINTS, FRUIT_POINT)
    page.click(*second, alt=alt)
    return page.suggestion(after=one)


def standing(page: LabelingPage) -> list[tuple[str, str, bool]]:
    """Type, label, and whether it is a prompt, of all that stands in the annotation."""
    return [(region.type, region.label, region.prompt) for region in page.editor.regions]


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
    found = [iou(region_mask(region), truth) for region, truth in zip(regions, (pear, leaf), strict=True)]
    print("IoU of the pear and the leaf:", found)
    assert min(found) >= LEAST_IOU


def test_accepting_at_once(page: LabelingPage, studio: LabelStudio, make_task: MakeTask) -> None:
    """With Auto-Accept Suggestions on, each click leaves one region more and no prompt."""
    scene = fruit()
    leaf, apple, pear = scene.visible[:3]
    project, task = make_task(scene)
    page.open_task(project, task, auto_accept=True)

    clicks = (("Leaf", leaf), ("Fruit", apple), ("Fruit", pear))
    expected = [("brushregion", label, False) for label, _ in clicks]
    for count, (label, thing) in enumerate(clicks, 1):
        page.choose(POINTS, f"keypoint:{label}")
        page.click(*middle(thing))
        wait_for(lambda count=count: standing(page) == expected[:count], f"region {count}")
    page.submit()

    regions = saved_regions(studio, project)
    assert [region["type"] for region in regions] == ["brushlabels"] * 3
    assert [region["value"]["brushlabels"] for region in regions] == [["Leaf"], ["Fruit"], ["Fruit"]]
    found = [iou(region_mask(region), truth) for region, (_, truth) in zip(regions, clicks, strict=True)]
    print("IoU of the leaf, the apple and the pear:", found)
    assert min(found) >= LEAST_IOU
