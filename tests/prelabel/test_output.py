"""The output: whole or not there, in the source's order, in parts when it is large."""

import json
from pathlib import Path
from typing import Any

import pytest

from sam_backend.errors import JobError, OutputError
from sam_backend.prelabel.output import FileSink, Place
from sam_backend.prelabel.types import Item, Outcome
from tests.support import bulk

ABOUT = {"version": "v2"}
KEYS = [f"{number}.png" for number in range(7)]


def outcome(key: str, **task: Any) -> Outcome:
    prediction = json.dumps({"result": [{"id": key}], "score": 1, "model_version": "v2"}).encode()
    return Outcome(Item(key, {"data": {"image": key}, **task}), prediction, regions=1)


def sink(place: Place, keys: list[str] = KEYS, done: list[str] | None = None) -> FileSink:
    made = FileSink(place, ABOUT, lambda: keys)
    for key in keys if done is None else done:
        made.add(outcome(key))
    return made


def images(*paths: Path) -> list[str]:
    return [task["data"]["image"] for path in paths for task in bulk.tasks(path)]


def test_it_has_the_sources_order_whatever_was_done_first(tmp_path: Path) -> None:
    place = Place(tmp_path / "tasks.json")
    made = sink(place, done=KEYS[::-1])
    assert list(tmp_path.iterdir()) == [place.journal]
    assert made.finish(complete=True) == f"Written to {place.path}."
    made.close()
    assert list(tmp_path.iterdir()) == [place.path]
    assert images(place.path) == KEYS
    assert bulk.tasks(place.path)[0]["predictions"][0]["model_version"] == "v2"


def test_a_large_one_is_in_parts_by_tasks_and_by_bytes(tmp_path: Path) -> None:
    by_tasks, by_bytes = Place(tmp_path / "tasks.json", part_tasks=3), Place(tmp_path / "bytes.json", part_bytes=250)
    for place in (by_tasks, by_bytes):
        made = sink(place)
        made.finish(complete=True)
        made.close()
    parts = [tmp_path / f"tasks-000{number}.json" for number in (1, 2, 3)]
    assert [len(bulk.tasks(part)) for part in parts] == [3, 3, 1]
    assert images(*parts) == KEYS
    assert images(*sorted(tmp_path.glob("bytes-*.json"))) == KEYS
    assert all(part.stat().st_size < 270 for part in tmp_path.glob("bytes-*.json"))
    assert len(list(tmp_path.iterdir())) == 3 + 4


def test_what_is_not_complete_keeps_its_journal_and_is_written_anew_by_the_next_run(tmp_path: Path) -> None:
    place = Place(tmp_path / "tasks.json", part_tasks=3)
    made = sink(place, done=KEYS[1:3])
    made.finish(complete=False)
    made.close()
    assert images(place.path) == KEYS[1:3]
    place.check(force=False)
    made = sink(place, done=[key for key in KEYS if key not in KEYS[1:3]])
    assert made.is_done(KEYS[1])
    made.finish(complete=True)
    made.close()
    parts = [tmp_path / f"tasks-000{number}.json" for number in (1, 2, 3)]
    assert sorted(tmp_path.iterdir()) == parts
    assert images(*parts) == KEYS


def test_a_run_that_stops_while_the_parts_take_their_places_is_finished_by_the_next(tmp_path: Path) -> None:
    place = Place(tmp_path / "tasks.json", part_tasks=3)
    in_the_way = tmp_path / "tasks-0002.json"
    (in_the_way / "x").mkdir(parents=True)
    made = sink(place)
    with pytest.raises(OutputError, match="What is done is kept"):
        made.finish(complete=True)
    made.close()
    assert images(tmp_path / "tasks-0001.json") == KEYS[:3]
    (in_the_way / "x").rmdir()
    in_the_way.rmdir()
    place.check(force=False)
    again = sink(place, done=[])
    again.finish(complete=True)
    again.close()
    assert images(*sorted(tmp_path.iterdir())) == KEYS


def test_an_output_or_a_part_that_is_there_is_refused_unless_by_force(tmp_path: Path) -> None:
    place = Place(tmp_path / "tasks.json")
    for name in ("tasks.json", "tasks-0007.json"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(JobError, match=rf"{name} exists\. .*--force"):
            place.check(force=False)
        place.check(force=True)
        (tmp_path / name).unlink()
    (tmp_path / "tasks-old.json").write_text("mine")
    place.check(force=False)


def test_force_replaces_the_old_output_at_the_end_and_not_before(tmp_path: Path) -> None:
    place = Place(tmp_path / "tasks.json")
    place.path.write_text("old")
    (tmp_path / "tasks-0001.json").write_text("old")
    made = sink(place, done=[])
    assert "no output" in made.finish(complete=False)
    assert place.path.read_text() == "old"
    made.add(outcome("0.png"))
    made.finish(complete=True)
    made.close()
    assert images(*tmp_path.iterdir()) == ["0.png"]


def test_a_folder_that_is_not_there_is_said_before_anything_is_labeled(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="none is no folder"):
        Place(tmp_path / "none" / "tasks.json").check(force=False)


def test_what_a_task_had_stays_but_an_older_prediction_of_the_same_version(tmp_path: Path) -> None:
    place = Place(tmp_path / "tasks.json")
    before = [{"result": [1], "model_version": "v1"}, {"result": [2], "model_version": "v2"}]
    made = FileSink(place, ABOUT, lambda: ["a", "b"])
    made.add(outcome("a", id=3, annotations=[{"result": []}], predictions=before))
    made.add(Outcome(Item("b", {"data": {}, "predictions": before})))
    made.finish(complete=True)
    made.close()
    labeled, nothing = bulk.tasks(place.path)
    assert (labeled["id"], labeled["annotations"]) == (3, [{"result": []}])
    assert [one["result"] for one in labeled["predictions"]] == [[1], [{"id": "a"}]]
    assert nothing["predictions"] == before
