"""Whole runs on a project, with a server that plays Label Studio: what is labeled, warmed, refused, told."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sam_backend import settings
from sam_backend.errors import JobError
from sam_backend.prelabel import start, warm
from sam_backend.settings import Settings
from tests.support.studio import LEGACY, Studio, running_studio


@pytest.fixture
def studio() -> Iterator[Studio]:
    with running_studio() as running:
        yield running


def picture(number: int) -> bytes:
    rgb = np.full((60, 80, 3), 150, np.uint8)
    rgb[15:45, 20 + number : 50 + number] = (200, 30, 30)
    file = io.BytesIO()
    PIL.Image.fromarray(rgb).save(file, "png")
    return file.getvalue()


def tasks_with_pictures(studio: Studio, count: int) -> list[int]:
    new = studio.add_tasks(count)
    studio.files |= {f"/data/upload/{number}.png": picture(number) for number in new}
    return new


def chosen(studio: Studio, **more: str) -> Settings:
    quick = {"SAM_AUTOMATIC": "everything", "SAM_POINTS_PER_SIDE": "2"}
    return settings.load({"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": LEGACY, **quick, **more})


def label(studio: Studio, **options: Any) -> int:
    return start.start(start.Request(project=1, **options), chosen(studio))


def test_a_project_is_labeled_once(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    new = tasks_with_pictures(studio, 3)
    assert label(studio, limit=2) == 0
    assert label(studio) == 0
    assert label(studio) == 0
    assert [len(studio.versions(task)) for task in new] == [1, 1, 1]
    assert "-everything-" in studio.versions(new[0])[0]
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in said] == ["2 labeled", "1 labeled", "0 labeled"]


def test_a_task_that_is_deleted_meanwhile_is_told_and_the_others_labeled(
    studio: Studio, capsys: pytest.CaptureFixture[str]
) -> None:
    first, gone, last = tasks_with_pictures(studio, 3)
    answer = studio.answer

    def deleting(method: str, path: str, query: Any, body: Any) -> Any:
        if path == f"/data/upload/{gone}.png":
            studio.tasks.pop(gone, None)
        return answer(method, path, query, body)

    studio.answer = deleting  # type: ignore[method-assign]
    assert label(studio) == 1
    assert [len(studio.versions(task)) for task in (first, gone, last)] == [1, 0, 1]
    assert f"failed: {gone}: " in capsys.readouterr().err


def test_an_image_that_is_missing_is_told_and_tried_again(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    whole, broken = tasks_with_pictures(studio, 2)
    missing = studio.files.pop(f"/data/upload/{broken}.png")
    assert label(studio) == 1
    assert "1 labeled" in capsys.readouterr().out
    studio.files[f"/data/upload/{broken}.png"] = missing
    assert label(studio) == 0
    assert [len(studio.versions(task)) for task in (whole, broken)] == [1, 1]


# ----------------------------------------------------------------------------------------------------------- warm


def test_warming_encodes_each_image_once(studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two tasks may show the same pixels; a later run encodes what is new."""
    first, second, same = tasks_with_pictures(studio, 3)
    studio.files[f"/data/upload/{same}.png"] = studio.files[f"/data/upload/{first}.png"]
    studio.predict(second, "any")
    there = chosen(studio, SAM_CACHE_DIR=str(tmp_path))
    assert warm.warm(warm.Request(project=1), there) == 0
    assert "3 warmed. Images encoded: 2; in the cache before: 1." in capsys.readouterr().out
    tasks_with_pictures(studio, 1)
    assert warm.warm(warm.Request(project=1), there) == 0
    assert "4 warmed. Images encoded: 1; in the cache before: 3." in capsys.readouterr().out
    assert len(studio.predictions) == 1


def test_warming_tells_what_failed(studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, broken = tasks_with_pictures(studio, 2)
    studio.files[f"/data/upload/{broken}.png"] = b"no image"
    assert warm.warm(warm.Request(project=1), chosen(studio, SAM_CACHE_DIR=str(tmp_path))) == 1
    captured = capsys.readouterr()
    assert "1 warmed. 1 failed" in captured.out
    assert f"failed: {broken}: The image cannot be read" in captured.err


def test_warming_without_a_folder_says_what_to_set(studio: Studio) -> None:
    with pytest.raises(JobError, match="SAM_CACHE_DIR"):
        warm.warm(warm.Request(project=1), chosen(studio))
    assert studio.asked == []


def test_each_image_is_fetched_once_though_the_next_ones_are_fetched_ahead(studio: Studio) -> None:
    """One that cannot be had is not asked for again either."""
    new = tasks_with_pictures(studio, 5)
    del studio.files[f"/data/upload/{new[2]}.png"]
    assert label(studio) == 1
    fetched = [asked for asked in studio.asked if "/data/upload/" in asked]
    assert sorted(fetched) == [f"GET /data/upload/{number}.png" for number in new]
    assert [len(studio.versions(task)) for task in new] == [1, 1, 0, 1, 1]
