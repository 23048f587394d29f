"""`sam-backend prelabel`, end to end with the built-in model on small drawn images."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from sam_backend.cli import cli
from sam_backend.errors import JobError
from sam_backend.labelstudio import bitmaps
from tests.support import bulk, scenes
from tests.support.image_host import TOKEN, image_host

COUNT = 12
CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image"><Label value="Cat"/><Label value="Dog"/></BrushLabels>
<RectangleLabels name="box" toName="image"><Label value="Cat"/><Label value="Dog"/></RectangleLabels></View>"""


@pytest.fixture
def prelabel(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command in this process; what is raised ends the test."""
    for name in [name for name in os.environ if name.startswith(("SAM_", "LABEL_STUDIO_"))]:
        monkeypatch.delenv(name)

    def run(*arguments: object, **environment: str) -> Result:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(cli, ["prelabel", *map(str, arguments)], catch_exceptions=False)

    return run


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    bulk.draw_images(folder, COUNT)
    return folder


@pytest.fixture(scope="module")
def keys(photos: Path) -> list[str]:
    return bulk.draw_images(photos, COUNT)


@pytest.fixture(scope="module")
def uninterrupted(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of two processes that nobody disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    output = folder / "tasks.json"
    job = bulk.start("--images", photos, "--output", output, "--workers", 2, *bulk.QUICK, folder=folder)
    code, said = bulk.finish(job, folder)
    assert code == 0, said
    assert f"{COUNT} labeled, " in said
    assert f"{COUNT} of {COUNT}, " in said
    return output


def images(output: Path) -> list[str]:
    return [task["data"]["image"].partition("?d=")[2] for task in bulk.tasks(output)]


# ------------------------------------------------------------------------------------------------------ the output


def test_each_image_becomes_a_task_with_the_masks_that_are_on_it(uninterrupted: Path, keys: list[str]) -> None:
    assert images(uninterrupted) == keys
    assert sorted(path.name for path in uninterrupted.parent.iterdir()) == ["said.txt", "tasks.json"]
    (prediction,) = bulk.tasks(uninterrupted)[keys.index("01.png")]["predictions"]
    masks = [bitmaps.bitmap(region, (72, 96)) for region in prediction["result"]]
    (center,) = scenes.draw(96, 72, scenes.CENTER, seed=1).objects.values()
    assert max(scenes.iou(mask, center) for mask in masks) > 0.9
    assert {label for region in prediction["result"] for label in region["value"]["brushlabels"]} == {"Object"}
    assert prediction["model_version"].startswith("builtin-")
    assert "-everything-" in prediction["model_version"]


def test_one_process_makes_the_same_masks_as_two(
    prelabel: Callable[..., Result], photos: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    result = prelabel("--images", photos, "--output", tmp_path / "tasks.json", *bulk.QUICK)
    assert result.exit_code == 0
    for mine, theirs in zip(bulk.tasks(tmp_path / "tasks.json"), bulk.tasks(uninterrupted), strict=True):
        pair = [
            np.array([bitmaps.bitmap(region, (72, 96)) for region in task["predictions"][0]["result"]])
            for task in (mine, theirs)
        ]
        assert pair[0].shape == pair[1].shape
        assert (pair[0] == pair[1]).mean() > 0.999


# ------------------------------------------------------------------------------------------------------ interruptions


def test_killed_twice_and_resumed_it_labels_each_image_once_and_gives_the_same_file(
    photos: Path, keys: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tasks.json"
    arguments = ("--images", photos, "--output", output, "--workers", 2, *bulk.QUICK)
    done: list[str] = []
    for _ in range(2):
        job = bulk.start(*arguments, "--pause", 0.3, folder=tmp_path)
        before, done = done, bulk.wait_for(job, output, len(done) + 3)
        workers = bulk.workers(job.pid)
        job.kill()
        job.wait()
        done = bulk.journal(output)
        assert done[: len(before)] == before
        assert 0 < len(done) < COUNT
        assert not output.exists()
        _ended(workers)
    kept = tmp_path / "kept"
    kept.hardlink_to(output.with_name("tasks.json.journal"))
    code, said = bulk.finish(bulk.start(*arguments, folder=tmp_path), tmp_path)
    assert code == 0, said
    assert f"{COUNT - len(done)} labeled ({len(done)} before), " in said
    lines = [json.loads(line)["key"] for line in kept.read_bytes().splitlines()[1:]]
    assert sorted(lines) == sorted(keys)
    assert lines[: len(done)] == done
    assert output.read_bytes() == uninterrupted.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "said.txt", "tasks.json"]


def _ended(processes: list[int]) -> None:
    assert processes
    end = time.monotonic() + 60
    while any(bulk.is_running(process) for process in processes):
        assert time.monotonic() < end, "A worker outlives its parent."
        time.sleep(0.02)


def test_a_worker_that_is_killed_is_replaced_and_its_image_tried_again(
    photos: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    output = tmp_path / "tasks.json"
    job = bulk.start(
        *("--images", photos, "--output", output, "--workers", 2, "--pause", 0.2, *bulk.QUICK), folder=tmp_path
    )
    bulk.wait_for(job, output, 2)
    os.kill(bulk.workers(job.pid)[0], signal.SIGKILL)
    code, said = bulk.finish(job, tmp_path)
    assert code == 0, said
    assert "died; it is tried once more" in said
    assert output.read_bytes() == uninterrupted.read_bytes()


@pytest.mark.parametrize(("sign", "workers"), [(signal.SIGINT, 2), (signal.SIGTERM, 1)])
def test_a_signal_stops_it_at_once_and_it_says_how_to_go_on(
    photos: Path, tmp_path: Path, sign: signal.Signals, workers: int
) -> None:
    output = tmp_path / "tasks.json"
    arguments = ("--images", photos, "--output", output, "--workers", workers, "--pause", 0.5, *bulk.QUICK)
    job = bulk.start(*arguments, folder=tmp_path)
    bulk.wait_for(job, output, 1)
    began, processes = time.monotonic(), bulk.workers(job.pid)
    job.send_signal(sign)
    code, said = bulk.finish(job, tmp_path)
    assert (code, time.monotonic() - began < 20) == (130, True), said
    done = bulk.journal(output)
    assert f"Stopped. {len(done)} labeled, " in said
    assert "The same command goes on from here." in said
    assert "Traceback" not in said
    assert len(processes) == (workers if workers > 1 else 0)
    assert not any(bulk.is_running(process) for process in processes)


def test_limit_leaves_the_rest_to_further_runs(prelabel: Callable[..., Result], tmp_path: Path) -> None:
    output = tmp_path / "tasks.json"
    keys = bulk.draw_images(tmp_path / "photos", 3)
    arguments = ("--images", tmp_path / "photos", "--output", output, *bulk.QUICK)
    for count in (2, 3):
        assert prelabel(*arguments, "--limit", 2).exit_code == 0
        assert images(output) == keys[:count]
    assert sorted(tmp_path.iterdir()) == [tmp_path / "photos", output]
    with pytest.raises(JobError, match="exists"):
        prelabel(*arguments)


# ------------------------------------------------------------------------------------------------------ failures


def test_a_broken_image_is_told_with_its_reason_and_stops_nothing(
    prelabel: Callable[..., Result], tmp_path: Path
) -> None:
    folder, output = tmp_path / "photos", tmp_path / "tasks.json"
    keys = bulk.draw_images(folder, 3)
    sound = (folder / "01.png").read_bytes()
    (folder / "01.png").write_bytes(sound[:60])
    arguments = ("--images", folder, "--output", output, *bulk.QUICK)
    result = prelabel(*arguments)
    assert result.exit_code == 1
    assert "failed: 01.png: The image cannot be read" in result.output
    assert "2 labeled, " in result.output
    assert images(output) == [key for key in keys if key != "01.png"]
    report = tmp_path / "tasks.json.failures.txt"
    assert report.read_text().startswith("01.png: The image cannot be read")
    (folder / "01.png").write_bytes(sound)
    result = prelabel(*arguments)
    assert (result.exit_code, images(output)) == (0, keys)
    assert "1 labeled (2 before), " in result.output
    assert sorted(tmp_path.iterdir()) == [folder, output]


def test_other_parameters_do_not_continue_a_run(prelabel: Callable[..., Result], photos: Path, tmp_path: Path) -> None:
    arguments = ("--images", photos, "--output", tmp_path / "tasks.json", "--limit", 1)
    prelabel(*arguments, *bulk.QUICK)
    with pytest.raises(JobError, match="belongs to a run with another version"):
        prelabel(*arguments, *bulk.QUICK, "--min-area", "0.01")
    assert prelabel(*arguments, *bulk.QUICK, "--min-area", "0.01", "--restart").exit_code == 0


# ------------------------------------------------------------------------------------------------------ tasks of a file


def box(x: float, y: float, width: float, height: float, label: str) -> dict[str, Any]:
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": [label]}
    size = {"original_width": 96, "original_height": 72, "image_rotation": 0}
    return {"id": label, "type": "rectanglelabels", "from_name": "box", "to_name": "image", "value": value, **size}


def test_boxes_of_tasks_become_masks_of_images_that_label_studio_serves(
    prelabel: Callable[..., Result], tmp_path: Path
) -> None:
    scene = scenes.draw(96, 72, scenes.CENTER)
    annotations = [{"result": [box(28, 22, 44, 56, "Dog")]}]
    given = [
        {"id": 3, "data": {"image": "/data/upload/1/a.png"}, "annotations": annotations, "meta": {"of": "mine"}},
        {"id": 4, "data": {"image": "/data/upload/1/b.png"}},
        {"id": 5, "data": {"image": "/data/upload/1/c.png"}, "predictions": annotations},
    ]
    (tmp_path / "given.json").write_text(json.dumps(given))
    (tmp_path / "config.xml").write_text(CONFIG)
    output = tmp_path / "tasks.json"
    with image_host() as host:
        host.put("/data/upload/1/a.png", scenes.png(scene.rgb))
        result = prelabel(
            *("--tasks", tmp_path / "given.json", "--output", output, "--mode", "boxes"),
            *("--label-config", tmp_path / "config.xml"),
            LABEL_STUDIO_URL=host.url,
            LABEL_STUDIO_API_KEY=TOKEN,
        )
        asked = [path for path, _ in host.requests]
    assert result.exit_code == 1
    assert "failed: 5: The image's server answered 404" in result.output
    assert asked == ["/data/upload/1/a.png", "/data/upload/1/c.png"]
    boxed, nothing = bulk.tasks(output)
    assert (boxed["id"], boxed["annotations"], boxed["meta"]) == (3, annotations, {"of": "mine"})
    (region,) = boxed["predictions"][0]["result"]
    assert region["value"]["brushlabels"] == ["Dog"]
    assert scenes.iou(bitmaps.bitmap(region, (72, 96)), scene.objects["center"]) > 0.85
    assert nothing == given[1]


# ------------------------------------------------------------------------------------------------------ what it takes


def test_a_dry_run_says_what_all_would_take_and_writes_nothing_but_pictures_that_are_asked_for(
    prelabel: Callable[..., Result], photos: Path, tmp_path: Path
) -> None:
    arguments = ("--images", photos, "--output", tmp_path / "tasks.json", "--dry-run", "--sample", 2, *bulk.QUICK)
    result = prelabel(*arguments, "--workers", 2)
    assert result.exit_code == 0
    assert "2 labeled as builtin-" in result.output
    assert "s each" in result.output
    assert "regions, " in result.output
    assert f"{COUNT} are left: about 0:" in result.output
    assert "with 2 workers" in result.output
    assert list(tmp_path.iterdir()) == []
    prelabel(*arguments, "--preview", tmp_path / "seen")
    assert [path.name for path in tmp_path.iterdir()] == ["seen"]
    assert len(list((tmp_path / "seen").iterdir())) == 2


def test_a_run_can_leave_a_picture_of_each_image(prelabel: Callable[..., Result], photos: Path, tmp_path: Path) -> None:
    arguments = ("--images", photos, "--output", tmp_path / "tasks.json", "--preview", tmp_path / "seen", "--limit", 2)
    assert prelabel(*arguments, *bulk.QUICK).exit_code == 0
    assert len(list((tmp_path / "seen").glob("*.jpg"))) == 2
