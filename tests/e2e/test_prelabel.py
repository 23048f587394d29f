"""Bulk jobs on a project of a real Label Studio: each task once, however often the job is killed."""

import time
from pathlib import Path

import pytest

from examples.demo.label_studio import LabelStudio
from tests.e2e import jobs
from tests.e2e.browser import wait_for
from tests.e2e.labeling_page import LabelingPage
from tests.e2e.masks import bitmap


def iou(mask: jobs.Bitmap, truth: jobs.Bitmap) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


@pytest.mark.e2e
def test_a_project_is_labeled_though_the_job_is_killed(page: LabelingPage, studio: LabelStudio) -> None:
    """With either kind of token. The predictions are what an annotator then sees."""
    count = 20
    project = jobs.project_of_pictures(studio, "To be labeled", count)
    command = ("prelabel", "--project", str(project), *jobs.QUICK)
    jobs.run_and_kill(studio, project, 5, *command)
    before = jobs.prediction_count(studio, project)
    assert 5 <= before < count

    went_on = jobs.run(studio, *command, token=jobs.personal_token(studio))
    assert went_on.returncode == 0, went_on.stderr
    assert jobs.labeled(went_on.stdout) == count - before
    assert jobs.predictions_per_task(studio, project) == [1] * count

    again = jobs.run(studio, *command)
    assert (again.returncode, jobs.labeled(again.stdout)) == (0, 0), again.stderr

    tasks = studio.tasks(project)
    for number, task in enumerate(tasks):
        found = [
            iou(bitmap(region["value"]["rle"], jobs.SIZE), jobs.ellipse(number))
            for region in task["predictions"][0]["result"]
        ]
        assert max(found) > 0.9, (number, found)
    page.show_task(project, tasks[0]["id"])
    shown = wait_for(lambda: page.editor.regions, "regions of the prediction")
    assert {(region.type, region.label) for region in shown} == {("brushregion", "Thing")}


@pytest.mark.e2e
def test_boxes_of_detectors_and_annotators_become_masks(studio: LabelStudio) -> None:
    project = jobs.project_of_pictures(studio, "Boxed", 3)
    detected, drawn, bare = (task["id"] for task in studio.tasks(project))
    studio.request("POST", "/api/predictions", json={"task": detected, "result": [box(0)], "model_version": "detector"})
    studio.request("POST", f"/api/tasks/{drawn}/annotations", json={"result": [box(1)]})

    done = jobs.run(studio, "prelabel", "--project", str(project), "--mode", "boxes")
    assert done.returncode == 0, done.stderr
    for number, task in enumerate((detected, drawn)):
        *_, prediction = studio.request("GET", "/api/predictions", params={"task": task})
        (region,) = prediction["result"]
        assert prediction["model_version"].startswith("builtin-")
        assert region["value"]["brushlabels"] == ["Thing"]
        assert iou(bitmap(region["value"]["rle"], jobs.SIZE), jobs.ellipse(number)) > 0.9
    assert studio.request("GET", "/api/predictions", params={"task": bare}) == []
    assert jobs.run(studio, "prelabel", "--project", str(project), "--mode", "boxes").returncode == 0
    assert jobs.predictions_per_task(studio, project) == [2, 1, 0]


def box(number: int) -> dict[str, object]:
    """The box around a picture's ellipse, as Label Studio has one."""
    rows, columns = (jobs.ellipse(number).any(axis).nonzero()[0] for axis in (1, 0))
    height, width = jobs.SIZE
    x, y = columns[0] / width * 100, rows[0] / height * 100
    far = {"width": (columns[-1] + 1) / width * 100 - x, "height": (rows[-1] + 1) / height * 100 - y}
    value = {"x": x, "y": y, **far, "rotation": 0, "rectanglelabels": ["Thing"]}
    size = {"original_width": width, "original_height": height, "image_rotation": 0}
    return {
        "id": f"box{number}",
        "type": "rectanglelabels",
        "from_name": "box",
        "to_name": "image",
        "value": value,
        **size,
    }


@pytest.mark.e2e
def test_a_view_a_deleted_task_and_a_wrong_token(studio: LabelStudio) -> None:
    project = jobs.project_of_pictures(studio, "Seen in part", 4)
    first, second, *_ = (task["id"] for task in studio.tasks(project))
    later = {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": second}
    filters = {"conjunction": "and", "items": [later]}
    view = studio.request(
        "POST", "/api/dm/views", json={"project": project, "data": {"title": "Later", "filters": filters}}
    )
    command = ("prelabel", "--project", str(project), *jobs.QUICK)
    assert jobs.labeled(jobs.run(studio, *command, "--view", str(view["id"])).stdout) == 2
    assert jobs.predictions_per_task(studio, project) == [0, 0, 1, 1]
    refused = jobs.run(studio, *command, token="0" * 40)
    assert refused.returncode == 1
    assert "LABEL_STUDIO_API_KEY" in refused.stderr
    studio.request("DELETE", f"/api/tasks/{first}")
    assert jobs.labeled(jobs.run(studio, *command).stdout) == 1
    assert jobs.predictions_per_task(studio, project) == [1, 1, 1]


@pytest.mark.e2e
def test_a_warm_project_encodes_nothing_twice(studio: LabelStudio, tmp_path: Path) -> None:
    project = jobs.project_of_pictures(studio, "To be warmed", 4)
    command = ("warm", "--project", str(project))
    assert "SAM_CACHE_DIR" in jobs.run(studio, *command).stderr
    part = jobs.run(studio, *command, "--limit", "3", SAM_CACHE_DIR=str(tmp_path))
    rest = jobs.run(studio, *command, SAM_CACHE_DIR=str(tmp_path))
    assert "Images encoded: 3; in the cache before: 0." in part.stdout, part.stderr
    assert "Images encoded: 1; in the cache before: 3." in rest.stdout, rest.stderr


@pytest.mark.soak
def test_two_hundred_tasks_have_one_prediction_each_after_three_kills(studio: LabelStudio) -> None:
    count = 200
    project = jobs.project_of_pictures(studio, "A long run", count)
    command = ("prelabel", "--project", str(project), "--workers", "2", *jobs.QUICK)
    begin, stops = time.monotonic(), []
    for kill_at in (40, 90, 150):
        jobs.run_and_kill(studio, project, kill_at, *command)
        stops.append(jobs.prediction_count(studio, project))
    last = jobs.run(studio, *command)
    seconds = time.monotonic() - begin
    print(f"\n{count} tasks in {seconds:.0f} s, killed at {stops} predictions; the last run: {last.stdout.strip()}")
    assert last.returncode == 0, last.stderr
    assert jobs.predictions_per_task(studio, project) == [1] * count
