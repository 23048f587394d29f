"""Tasks of a JSON file."""

import json
from pathlib import Path
from typing import Any

import pytest

from sam_backend.errors import JobError
from sam_backend.prelabel.tasks_file import TasksFile


def write(folder: Path, content: Any) -> Path:
    path = folder / "tasks.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_an_exports_tasks_keep_what_they_have(tmp_path: Path) -> None:
    exported = [{"id": 7, "data": {"image": "/x"}, "annotations": [{"result": []}], "meta": {"a": 1}}]
    (item,) = TasksFile(write(tmp_path, exported))
    assert (item.key, item.task, item.path) == ("7", exported[0], None)


def test_bare_data_become_tasks(tmp_path: Path) -> None:
    items = list(TasksFile(write(tmp_path, [{"image": "/x"}, {"image": "/y"}])))
    assert [(item.key, item.task) for item in items] == [
        ("#1", {"data": {"image": "/x"}}),
        ("#2", {"data": {"image": "/y"}}),
    ]


def test_tasks_of_equal_ids_are_counted_instead(tmp_path: Path) -> None:
    tasks = TasksFile(write(tmp_path, [{"id": 1, "data": {}}, {"id": 1, "data": {}}]))
    assert [item.key for item in tasks] == ["#1", "#2"]
    assert len(tasks) == 2


def test_other_contents_have_another_digest(tmp_path: Path) -> None:
    one, same, other = (TasksFile(write(tmp_path, [{"image": name}])).digest for name in ("x", "x", "y"))
    assert one == same != other


@pytest.mark.parametrize("content", ["[", "{}", "[]", "[1]"])
def test_what_is_no_list_of_tasks_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(JobError, match=r"tasks\.json.* Give a list of tasks"):
        TasksFile(write(tmp_path, content))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"none\.json cannot be read: No such file"):
        TasksFile(tmp_path / "none.json")
