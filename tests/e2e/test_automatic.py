"""Automatic mode in a real Label Studio: predictions that are retrieved, opened, copied and exported."""

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from examples.demo.backend import sam_backend
from examples.demo.drawing import Bitmap
from examples.demo.label_studio import LabelStudio, LabelStudioError
from examples.demo.scenes import fruit
from examples.demo.servers import free_port
from tests.e2e.browser import wait_for
from tests.e2e.conftest import ROOT
from tests.e2e.labeling_page import LabelingPage
from tests.e2e.masks import box, iou, region_mask
from tests.e2e.projects import add_task, annotate, jpeg, label_config

pytestmark = pytest.mark.e2e

TASKS = 40
BUDGET = 6.0
SIZE = (120, 160)
EVERYTHING = {"mode": "everything", "points_per_side": 6, "points_per_batch": 36, "label": "Fruit"}

Prediction = dict[str, Any]


@pytest.fixture(scope="module")
def automatic(artifacts: Path) -> Iterator[str]:
    """The URL of a backend that answers sooner than it is done."""
    settings = {"SAM_RETRIEVE_SECONDS": str(BUDGET), "SAM_OPEN_SECONDS": "2"}
    with sam_backend(ROOT, free_port(), artifacts / "sam-backend-automatic.log", settings) as (url, _):
        yield url


def retrieve(studio: LabelStudio, project: int) -> float:
    """Select all tasks and press "Retrieve predictions"; how long it took."""
    started = time.monotonic()
    options = {"id": "retrieve_tasks_predictions", "project": project}
    selected = {"selectedItems": {"all": True, "excluded": []}}
    studio.request("POST", "/api/dm/actions", params=options, json=selected)
    return time.monotonic() - started


def predictions(studio: LabelStudio, project: int) -> dict[int, list[Prediction]]:
    """The predictions of each of a project's tasks."""
    return {task["id"]: task["predictions"] for task in studio.tasks(project)}


def disk(number: int) -> Bitmap:
    """A disk of its own for each number."""
    drawn = np.zeros(SIZE, np.uint8)
    cv2.circle(drawn, (25 + 12 * (number % 10), 30 + 15 * (number // 10)), 14 + number % 3, 1, -1)
    return drawn > 0


def picture(shape: Bitmap) -> bytes:
    """The disk, dark on bright."""
    file = io.BytesIO()
    rgb = np.where(shape[..., None], (40, 60, 160), (225, 220, 205)).astype(np.uint8)
    Image.fromarray(rgb).save(file, "PNG")
    return file.getvalue()


def test_pressed_again_and_again_each_task_has_its_own_masks_once(studio: LabelStudio, automatic: str) -> None:
    project = studio.create_project("Forty", label_config("brush"))
    for number in range(TASKS):
        studio.upload(project, f"{number:02}.png", picture(disk(number)))
    studio.connect(project, automatic, EVERYTHING)
    seconds = [retrieve(studio, project)]
    first = sum(map(len, predictions(studio, project).values()))
    while len(seconds) < 60 and not all(predictions(studio, project).values()):
        time.sleep(1)
        seconds.append(retrieve(studio, project))
    seconds.append(retrieve(studio, project))
    print(f"{len(seconds)} presses, {first} predictions after the first, at most {max(seconds):.1f} s each")
    found = predictions(studio, project)
    assert [len(one) for one in found.values()] == [1] * TASKS
    assert first < TASKS
    assert max(seconds) < BUDGET + 30
    for number, (one,) in enumerate(found.values()):
        assert max(iou(region_mask(region), disk(number)) for region in one["result"]) > 0.8
        assert {tuple(region["value"]["brushlabels"]) for region in one["result"]} == {("Fruit",)}


def test_changed_parameters_are_predicted_anew_and_equal_ones_are_not(studio: LabelStudio, automatic: str) -> None:
    project = studio.create_project("Changed", label_config("brush"))
    studio.upload(project, "one.png", picture(disk(13)))
    studio.connect(project, automatic, EVERYTHING)
    (connected,) = studio.request("GET", "/api/ml", params={"project": project})

    def press(extra_params: object) -> list[str]:
        # Without the URL, Label Studio answers 500.
        changed = {"project": project, "url": automatic, "extra_params": extra_params}
        studio.request("PATCH", f"/api/ml/{connected['id']}", json=changed)
        retrieve(studio, project)
        time.sleep(3)
        retrieve(studio, project)
        (found,) = predictions(studio, project).values()
        return [one["model_version"] for one in found]

    assert len(press(EVERYTHING)) == 1
    assert len(press(dict(reversed(EVERYTHING.items())))) == 1
    assert len(press(EVERYTHING | {"points_per_side": 7})) == 2
    assert len(set(press(EVERYTHING | {"points_per_side": 7}))) == 2


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"mode": "everything", "points": 16}, "points"),
        ({"mode": "everything", "points_per_side": 0}, "points_per_side"),
        ('{"mode": "sometimes"}', "mode"),
        ({"mode": "everything", "label": "Cheese"}, "Cheese"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_refused_on_connection_by_its_name(
    studio: LabelStudio, automatic: str, wrong: object, name: str
) -> None:
    project = studio.create_project("Wrong", label_config("brush"))
    with pytest.raises(LabelStudioError, match=name):
        studio.connect(project, automatic, wrong)
    assert studio.request("GET", "/api/ml", params={"project": project}) == []


def test_a_mask_in_each_box_keeps_label_and_reference_until_the_export(
    page: LabelingPage, studio: LabelStudio, automatic: str
) -> None:
    """Opened in the editor, copied to an annotation, submitted, exported."""
    project = studio.create_project("Boxed", label_config("brush"))
    scene = fruit()
    leaf, apple, *_ = scene.visible
    boxed = add_task(studio, project, [jpeg(scene)])
    bare = add_task(studio, project, [jpeg(scene)])
    annotate(studio, boxed, [rectangle("leafbox", leaf, "Leaf"), rectangle("applebox", apple, "Fruit")])
    studio.connect(project, automatic, {"mode": "boxes"})
    retrieve(studio, project)
    wait_for(lambda: retrieve(studio, project) and predictions(studio, project)[boxed], "predictions of the boxes")
    assert predictions(studio, project)[bare] == []
    (found,) = predictions(studio, project)[boxed]
    assert labels(found["result"]) == {"leafbox": ["Leaf"], "applebox": ["Fruit"]}
    for region, thing in zip(found["result"], (leaf, apple), strict=True):
        assert iou(region_mask(region), thing) > 0.7

    page.open_task(project, boxed, auto_annotation=False)
    page.browser.execute_script(COPY)
    wait_for(lambda: len(page.editor.regions) == 2, "copied regions")
    page.browser.execute_script("Htx.submitAnnotation()")
    wait_for(lambda: len(studio.request("GET", f"/api/tasks/{boxed}/annotations")) == 2, "submitted annotation")
    exported = studio.request("GET", f"/api/projects/{project}/export", params={"exportType": "JSON"})
    (task,) = (task for task in exported if task["id"] == boxed)
    newest = max(task["annotations"], key=lambda one: one["id"])
    assert labels(newest["result"]) == {"leafbox": ["Leaf"], "applebox": ["Fruit"]}


COPY = """const store = Htx.annotationStore;
store.selectPrediction(store.predictions[0].id);
const copy = store.addAnnotationFromPrediction(store.selected);
store.selectAnnotation(copy.id);"""


def rectangle(name: str, thing: Bitmap, label: str) -> dict[str, Any]:
    """A box around a thing, as an older project's control had it."""
    height, width = thing.shape
    x0, y0, x1, y1 = box(thing)
    sides = {"x": x0 / width, "y": y0 / height, "width": (x1 - x0) / width, "height": (y1 - y0) / height}
    return {
        "id": name,
        "type": "rectanglelabels",
        "from_name": "rectangle",
        "to_name": "image",
        "origin": "manual",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {side: 100 * float(value) for side, value in sides.items()}
        | {"rotation": 0, "rectanglelabels": [label]},
    }


def labels(result: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The masks' labels, by the boxes that they refer to."""
    return {region["meta"]["box"]: region["value"]["brushlabels"] for region in result if region.get("meta")}


def test_an_opened_task_shows_its_masks(page: LabelingPage, studio: LabelStudio, automatic: str) -> None:
    """The page waits a little; where that was too short, the masks are there the next time."""
    project = studio.create_project("Opened", label_config("brush"))
    scene = fruit()
    task = add_task(studio, project, [jpeg(scene)])
    studio.connect(project, automatic, {"mode": "everything", "points_per_side": 8, "label": "Stone"})
    started = time.monotonic()
    studio.request("GET", f"/api/tasks/{task}", params={"project": project})
    assert time.monotonic() - started < 15
    wait_for(lambda: ready(studio, project, task), "prediction of the opened task")
    page.open_task(project, task, auto_annotation=False)
    assert len(page.editor.regions) > 3
    (found,) = predictions(studio, project)[task]
    assert len(page.editor.regions) == len(found["result"])


def ready(studio: LabelStudio, project: int, task: int) -> bool:
    studio.request("GET", f"/api/tasks/{task}", params={"project": project})
    return bool(predictions(studio, project)[task])
