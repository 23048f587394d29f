"""Source: tasks of a JSON file, as Label Studio exports or imports them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sam_backend.errors import JobError
from sam_backend.prelabel.types import Item

MAX_BYTES = 1024**3
"""Of a file: it is read whole, and takes several times its size in memory."""

_REMEDY = "Give a list of tasks, as Label Studio's JSON export has it, or of their data: [{...}, {...}]."


class TasksFile:
    """The tasks of a JSON file: with `data`, or bare data.

    What a task has beside its data (annotations, predictions, meta) stays with it.

    Attributes:
        digest: of the file; another digest means other tasks.

    Raises:
        JobError: the file cannot be read, is no list of tasks, or is larger than `MAX_BYTES`.
    """

    def __init__(self, path: Path) -> None:
        text = _read(path)
        self.digest = hashlib.sha256(text).hexdigest()
        self._tasks = [_as_task(raw, path, number) for number, raw in enumerate(_parse(text, path), 1)]
        ids = [task.get("id") for task in self._tasks]
        self._by_id = all(isinstance(one, int) for one in ids) and len(set(ids)) == len(ids)

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Item]:
        for number, task in enumerate(self._tasks, 1):
            yield Item(str(task["id"]) if self._by_id else f"#{number}", task)


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        text = b"" if size > MAX_BYTES else path.read_bytes()
    except OSError as error:
        raise JobError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None
    if size > MAX_BYTES:
        raise JobError(
            f"{path} has {size / 1e9:.1f} GB; a file of tasks is read whole, and may have {MAX_BYTES / 1e9:.1f} GB.",
            "Split it.",
        )
    return text


def _parse(text: bytes, path: Path) -> list[Any]:
    import orjson

    try:
        tasks = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise JobError(f"{path} is no JSON: {error}.", _REMEDY) from None
    if not isinstance(tasks, list) or not tasks:
        raise JobError(f"{path} is no list of tasks, or an empty one.", _REMEDY)
    return tasks


def _as_task(raw: Any, path: Path, number: int) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise JobError(f"{path}: its entry {number} is no task.", _REMEDY)
    return raw if isinstance(raw.get("data"), dict) else {"data": raw}
