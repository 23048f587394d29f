"""The control that the label config has decides what a mask becomes; Label Studio shows it and saves it."""

import pytest

from examples.demo.drawing import Bitmap
from examples.demo.label_studio import LabelStudio
from examples.demo.scenes import fruit
from tests.e2e.conftest import MakeTask
from tests.e2e.labeling_page import BOXES, POINTS, LabelingPage
from tests.e2e.masks import box, iou, middle, region_mask, tight_box
from tests.e2e.projects import saved_regions

pytestmark = pytest.mark.e2e

LEAST_IOU = 0.8


def answer_both(page: LabelingPage, pear: Bitmap, leaf: Bitmap) -> None:
    """Click on the pear, accept, draw a box around the leaf, accept, submit."""
    page.choose(POINTS, "keypoint:Fruit")
    page.click(*middle(pear))
    page.suggestion()
    page.accept()
    page.choose(BOXES, "rectangle:Leaf")
    page.drag(*box(leaf))
    page.suggestion()
    page.accept()
    page.submit()


@pytest.mark.parametrize(
    ("config", "kind"),
    [("polygon", "polygonlabels"), ("bitmask", "bitmasklabels"), ("rectangle", "rectanglelabels")],
)
def test_answers_of_this_kind_are_shown_and_saved(
    page: LabelingPage, studio: LabelStudio, make_task: MakeTask, config: str, kind: str
) -> None:
    scene = fruit()
    leaf, _, pear = scene.visible[:3]
    project, task = make_task(scene, config=config)
    page.open_task(project, task)
    answer_both(page, pear, leaf)
    regions = saved_regions(studio, project)
    assert [region["type"] for region in regions] == [kind, kind]
    assert [region["from_name"] for region in regions] == [config, config]
    assert [region["value"][kind] for region in regions] == [["Fruit"], ["Leaf"]]
    truths = [tight_box(thing) if kind == "rectanglelabels" else thing for thing in (pear, leaf)]
    found = [iou(region_mask(region), truth) for region, truth in zip(regions, truths, strict=True)]
    print(f"IoU of the pear and the leaf as {kind}:", found)
    assert min(found) >= LEAST_IOU


def test_the_mask_goes_to_the_group_that_has_the_label(
    page: LabelingPage, studio: LabelStudio, make_task: MakeTask
) -> None:
    """A realistic project: two groups of brushes, known to exports by aliases that the prompts don't have."""
    scene = fruit()
    _, apple, pear = scene.visible[:3]
    project, task = make_task(scene, config="damage_inspection")
    page.open_task(project, task)
    for tool, label, thing in ((POINTS, "click:Broken glass", pear), (BOXES, "box:Wheel", apple)):
        page.choose(tool, label)
        if tool == POINTS:
            page.click(*middle(thing))
        else:
            page.drag(*box(thing))
        page.suggestion()
        page.accept()
    page.submit()

    glass, wheel = saved_regions(studio, project)
    assert (glass["from_name"], glass["value"]["brushlabels"]) == ("damage", ["broken_glass"])
    assert (wheel["from_name"], wheel["value"]["brushlabels"]) == ("part", ["wheel"])
    assert iou(region_mask(glass), pear) >= LEAST_IOU
    assert iou(region_mask(wheel), apple) >= LEAST_IOU
