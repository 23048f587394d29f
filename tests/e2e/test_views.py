"""However the image is stored and shown, the mask is on the thing that was clicked."""

import pytest

from examples.demo.drawing import Bitmap
from examples.demo.label_studio import LabelStudio
from examples.demo.scenes import fruit, upright
from tests.e2e.conftest import MakeTask
from tests.e2e.labeling_page import BOXES, POINTS, LabelingPage
from tests.e2e.masks import box, iou, middle, region_mask
from tests.e2e.projects import Region, saved_regions

pytestmark = pytest.mark.e2e

LEAST_IOU = 0.8


def accept_a_click(page: LabelingPage, label: str, thing: Bitmap) -> None:
    page.choose(POINTS, label)
    page.click(*middle(thing))
    page.suggestion()
    page.accept()


def size(region: Region) -> tuple[int, int]:
    return region["original_width"], region["original_height"]


def test_a_photo_that_is_stored_lying_down(page: LabelingPage, studio: LabelStudio, make_task: MakeTask) -> None:
    """EXIF turns the picture upright in the browser."""
    scene = upright()
    apple = scene.visible[0]
    project, task = make_task(scene, lying=True)
    page.open_task(project, task)
    accept_a_click(page, "keypoint:Fruit", apple)
    page.submit()

    (region,) = saved_regions(studio, project)
    assert size(region) == (800, 1200)
    assert region["value"]["brushlabels"] == ["Fruit"]
    assert iou(region_mask(region), apple) >= LEAST_IOU


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_view_that_is_turned(page: LabelingPage, studio: LabelStudio, make_task: MakeTask, turns: int) -> None:
    """The masks of a click and of a box in the turned view lie in the frame of the image itself."""
    scene = fruit()
    _, apple, pear = scene.visible[:3]
    project, task = make_task(scene)
    page.open_task(project, task)
    for _ in range(turns):
        page.rotate()
    accept_a_click(page, "keypoint:Fruit", apple)
    page.choose(BOXES, "rectangle:Fruit")
    page.drag(*box(pear))
    page.suggestion()
    page.accept()
    page.submit()

    regions = saved_regions(studio, project)
    assert {size(region) for region in regions} == {(1200, 800)}
    found = [iou(region_mask(region), truth) for region, truth in zip(regions, (apple, pear), strict=True)]
    print(f"IoU of the apple and the pear, turned by {90 * turns}°:", found)
    assert min(found) >= LEAST_IOU


def test_a_task_of_several_images(page: LabelingPage, studio: LabelStudio, make_task: MakeTask) -> None:
    """Images of different sizes; each mask belongs to the image that was clicked in."""
    first, second = fruit(), upright()
    project, task = make_task(first, second, config="multi_image")
    page.open_task(project, task)
    accept_a_click(page, "keypoint:Fruit", first.visible[1])
    page.next_image()
    accept_a_click(page, "keypoint:Fruit", second.visible[0])
    page.submit()

    regions = saved_regions(studio, project)
    assert [region["item_index"] for region in regions] == [0, 1]
    assert [size(region) for region in regions] == [(1200, 800), (800, 1200)]
    truths = (first.visible[1], second.visible[0])
    found = [iou(region_mask(region), truth) for region, truth in zip(regions, truths, strict=True)]
    print("IoU on the first and the second image:", found)
    assert min(found) >= LEAST_IOU
