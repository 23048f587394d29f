"""One `SamBackend` under label-studio-ml: the real 1.0.9 by its own server, and 2.x's contract."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import recordings, scenes
from tests.support.image_host import TOKEN, ImageHost, image_host
from tests.support.service import environment

SUPPORT = Path(__file__).parent / "support"
SETUP, OPENED = "S1_connect__setup", "S5_batch_retrieve_predictions__predict"
CLICK, BOX, TURNED = "A1_keypoint_positive__predict", "C1_smart_rectangle__predict", "F1_exif6_keypoint__predict"
NEGATIVE, EVENT = "I1_negative_only__predict", "S12_annotation_created__webhook_ANNOTATION_CREATED"
OBJECTS = {CLICK: "left", BOX: "left", TURNED: "corner"}


@pytest.fixture(scope="module")
def host() -> Iterator[ImageHost]:
    with image_host() as running_host:
        recordings.serve(running_host)
        yield running_host


def call(script: str, host: ImageHost, names: list[str], folder: Path, **more: str) -> Any:
    """Run a script of `support` in an environment that has torch; what it prints last."""
    assert importlib.util.find_spec("torch")
    root = Path(__file__).parents[1]
    files = [str(recordings.FOLDER / f"{name}.json") for name in names]
    settings = {"LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN, "PYTHONPATH": str(root), **more}
    done = subprocess.run(
        [sys.executable, str(SUPPORT / script), *files],
        env=environment(**settings),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def lands(name: str, prediction: dict[str, Any]) -> bool:
    """Whether a recorded click's mask covers the object that it means."""
    [region] = prediction["result"]
    meant = recordings.scene(recordings.read(name)).objects[OBJECTS[name]]
    return scenes.iou(recordings.bitmap(region), meant) >= 0.8


def test_the_server_of_1_0_9_answers_with_our_masks_and_without_torch(host: ImageHost, tmp_path: Path) -> None:
    names = [SETUP, OPENED, CLICK, BOX, TURNED, NEGATIVE]
    document = call("line_1.py", host, names, tmp_path)
    answers = dict(zip(names, document["answers"], strict=True))
    assert [answer["status"] for answer in answers.values()] == [200] * len(names)
    version = answers[CLICK]["body"]["results"][0]["model_version"]
    assert answers[OPENED]["body"]["results"] == [{"model_version": version}] * 2
    assert answers[NEGATIVE]["body"]["results"] == [{"result": [], "score": 0.0, "model_version": version}]
    for name in OBJECTS:
        assert lands(name, answers[name]["body"]["results"][0])
    assert document["unwanted"] == []


def test_the_calls_of_2_x_are_answered_with_our_masks(host: ImageHost, tmp_path: Path) -> None:
    names = [SETUP, OPENED, CLICK, BOX, TURNED, NEGATIVE, EVENT]
    answers = dict(zip(names, call("line_2.py", host, names, tmp_path), strict=True))
    version = answers[SETUP]
    assert isinstance(version, str)
    assert version
    assert answers[OPENED] == [{"model_version": version}] * 2
    assert answers[NEGATIVE] == [{"result": [], "score": 0.0, "model_version": version}]
    for name in OBJECTS:
        [prediction] = answers[name]
        assert prediction["model_version"] == version
        assert lands(name, prediction)


AUTOMATIC = {"SAM_AUTOMATIC": "everything", "SAM_AUTOMATIC_LABEL": "Car", "SAM_POINTS_PER_SIDE": "4"}


def test_opened_tasks_are_labeled_under_both_lines_by_the_environments_settings(
    host: ImageHost, tmp_path: Path
) -> None:
    """The prediction's version is that of `/setup`, or none, so that Label Studio never asks for it again."""
    one = call("line_1.py", host, [SETUP, OPENED], tmp_path, **AUTOMATIC)["answers"]
    other_setup, other = call("line_2.py", host, [SETUP, OPENED], tmp_path, **AUTOMATIC)
    first = one[1]["body"]["results"]
    assert [set(prediction) for prediction in first] == [{"result", "score"}] * 2
    assert [prediction["model_version"] for prediction in other] == [other_setup] * 2
    assert "-everything-" in other_setup
    for prediction, same in zip(first, other, strict=True):
        assert prediction["result"] == same["result"]
        assert {region["value"]["brushlabels"][0] for region in prediction["result"]} == {"Car"}
