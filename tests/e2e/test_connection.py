"""What Label Studio does by itself: it connects the backend, and asks it for predictions when tasks are opened."""

import io
import time
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from examples.demo.label_studio import LabelStudio, LabelStudioError
from examples.demo.scenes import fruit
from tests.e2e import jobs
from tests.e2e.browser import wait_for
from tests.e2e.conftest import MakeTask
from tests.e2e.labeling_page import LabelingPage
from tests.e2e.projects import LABEL_CONFIGS, add_task, annotate, label_config

pytestmark = pytest.mark.e2e

WITHOUT_ANSWER = """<View>
  <Image name="image" value="$image"/>
  <KeyPointLabels name="keypoint" toName="image" smart="true"><Label value="Fruit"/></KeyPointLabels>
</View>"""
WITHOUT_PROMPT = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Fruit"/></BrushLabels>
</View>"""


def predictions(studio: LabelStudio, task: int) -> list[dict[str, Any]]:
    """What Label Studio holds as the task's predictions."""
    found: list[dict[str, Any]] = studio.request("GET", "/api/predictions", params={"task": task})
    return found


def test_opening_a_task_leaves_no_prediction(page: LabelingPage, studio: LabelStudio, make_task: MakeTask) -> None:
    """Label Studio asks for a prediction whenever a task without one is opened; no empty one must be left."""
    project, task = make_task(fruit())
    page.open_task(project, task)
    studio.request("GET", f"/api/tasks/{task}", params={"project": project})
    assert predictions(studio, task) == []


def test_retrieving_predictions_leaves_none(studio: LabelStudio, make_task: MakeTask) -> None:
    """The Data Manager's "Retrieve Predictions", without a prompt to answer."""
    project, task = make_task(fruit())
    selected = {"selectedItems": {"all": True, "excluded": []}}
    options = {"id": "retrieve_tasks_predictions", "project": project}
    studio.request("POST", "/api/dm/actions", params=options, json=selected)
    assert predictions(studio, task) == []


def test_opening_a_task_warms_it_and_the_next_unlabeled_ones_and_nothing_else(
    studio: LabelStudio, backend: str
) -> None:
    """Label Studio lists them for the token of `/setup`, and is left as it was: no prediction, nothing asked twice."""
    project = studio.create_project("What comes next", label_config("brush"))
    for seed in range(6):
        studio.upload(project, f"{seed}.png", noise(seed))
    tasks = [int(task["id"]) for task in studio.tasks(project)]
    annotate(studio, tasks[2], [])
    studio.connect(project, backend)
    before = encodes(backend)
    studio.request("GET", f"/api/tasks/{tasks[0]}", params={"project": project})
    wait_for(lambda: encodes(backend) >= before + 3, "warm images")
    time.sleep(1)
    assert encodes(backend) == before + 3
    studio.request("GET", f"/api/tasks/{tasks[3]}", params={"project": project})
    wait_for(lambda: encodes(backend) >= before + 5, "warm images")
    time.sleep(1)
    assert encodes(backend) == before + 5
    assert [predictions(studio, task) for task in tasks] == [[]] * 6


def encodes(backend: str) -> int:
    """How many images the backend has encoded."""
    lines = requests.get(f"{backend}/metrics", timeout=10).text.splitlines()
    return int(float(next(line.split()[1] for line in lines if line.startswith("sam_encodes_total "))))


def noise(seed: int) -> bytes:
    """A picture that no other test has."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1000 + seed).integers(0, 256, (60, 80, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("name", sorted(file.stem for file in LABEL_CONFIGS.glob("*.xml")))
def test_every_example_is_a_project_that_is_served(studio: LabelStudio, backend: str, name: str) -> None:
    """Label Studio takes the label config, and the backend, asked to serve it, accepts."""
    project = studio.create_project(f"Example {name}", label_config(name))
    studio.connect(project, backend)
    (connected,) = studio.request("GET", "/api/ml", params={"project": project})
    assert connected["state"] == "CO", connected["error_message"]


@pytest.mark.parametrize(("xml", "missing"), [(WITHOUT_ANSWER, "PolygonLabels"), (WITHOUT_PROMPT, "KeyPointLabels")])
def test_a_config_that_cannot_be_served_is_refused_with_what_it_lacks(
    studio: LabelStudio, backend: str, xml: str, missing: str
) -> None:
    """Label Studio hides errors from annotators, but not from the one who connects the backend."""
    project = studio.create_project("Not to be served", xml)
    with pytest.raises(LabelStudioError, match=missing):
        studio.connect(project, backend)
    assert studio.request("GET", "/api/ml", params={"project": project}) == []


def test_the_doctor_finds_a_connected_project_well_and_an_unconnected_one_wanting(
    studio: LabelStudio, backend: str
) -> None:
    """With what Label Studio itself says of its version, token, project, task and connection."""
    project = studio.create_project("To be examined", label_config("brush"))
    add_task(studio, project, [noise(50)])
    lines = jobs.run(studio, "doctor", "--project", str(project)).stdout
    assert "note   connection   The project has no model connected." in lines
    studio.connect(project, backend)
    done = jobs.run(studio, "doctor", "--project", str(project))
    assert done.returncode == 0, done.stdout + done.stderr
    found = {line[7:19].strip(): line[:6].strip() for line in done.stdout.splitlines() if not line.startswith(" ")}
    assert {topic: found[topic] for topic in ("label studio", "token", "label config", "image", "connection")} == {
        "label studio": "ok",
        "token": "ok",
        "label config": "ok",
        "image": "ok",
        "connection": "ok",
    }
