"""Sink: a JSON file of tasks with predictions, for Label Studio's import; a large set in parts.

While the run lasts there is a journal beside it, `FILE.json.journal`. At the end the tasks are written in the source's
order to partial files, which then take their places; the journal goes last. Whenever a run stops, the next one goes on
from the journal. When items failed, the output has all others and the journal stays: the next run tries those again.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from sam_backend.errors import JobError, OutputError
from sam_backend.prelabel.journal import Journal
from sam_backend.prelabel.types import Outcome

PART_TASKS = 1000
PART_BYTES = 150_000_000
"""Label Studio takes 250 MB at once by default, and needs several times that in memory."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the output goes.

    Attributes:
        path: `FILE.json`; of several parts `FILE-0001.json` and so on take its place.
        part_tasks: most tasks of a part.
        part_bytes: most bytes of a part; a single task may have more.
    """

    path: Path
    part_tasks: int = PART_TASKS
    part_bytes: int = PART_BYTES

    @property
    def journal(self) -> Path:
        """The journal beside it."""
        return self.path.with_name(self.path.name + ".journal")

    def part(self, number: int, count: int) -> Path:
        """The name of a part, counted from 1."""
        return self.path.with_stem(f"{self.path.stem}-{number:04d}") if count > 1 else self.path

    def partial(self, number: int) -> Path:
        """What a part is called until all are whole."""
        return self.path.with_name(f"{self.path.name}.partial-{number:04d}")

    def standing(self) -> list[Path]:
        """The output, or parts of it, that stand there."""
        name = re.compile(rf"{re.escape(self.path.stem)}(-\d{{4,}})?{re.escape(self.path.suffix)}")
        return sorted(path for path in self.path.parent.iterdir() if name.fullmatch(path.name))

    def check(self, *, force: bool) -> None:
        """Whether it can go there; what stands there from an unfinished run of ours is in nobody's way.

        Raises:
            JobError: there is an output already.
            OutputError: there is no such folder.
        """
        if not self.path.parent.is_dir():
            raise OutputError(f"{self.path.parent} is no folder.", "Make it, or give another --output.")
        standing = [] if force or self.journal.exists() else self.standing()
        if standing:
            raise JobError(f"{standing[0]} exists.", "Give another --output, or --force to replace it.")


class FileSink:
    """Keeps tasks in a journal, and makes the output of it at the end.

    Args:
        place: where.
        about: what runs that continue each other must have in common; `version` is the predictions' `model_version`.
        keys: the source's keys, in its order; called at the end.
        restart: forget what the journal has.

    Raises:
        JobError, OutputError: as `Journal`.
    """

    def __init__(
        self, place: Place, about: Mapping[str, str], keys: Callable[[], Iterable[str]], *, restart: bool = False
    ) -> None:
        self._place = place
        self._version = about["version"]
        self._keys = keys
        self._journal = Journal(place.journal, about, restart=restart)

    def is_done(self, key: str) -> bool:
        """Whether it is in the journal."""
        return key in self._journal

    def add(self, outcome: Outcome) -> None:
        """Keep the task, with its prediction beside those that it had."""
        self._journal.add(outcome.item.key, with_prediction(outcome, self._version))

    def finish(self, *, complete: bool) -> str:
        """Write the output, and take the journal away if all is done."""
        try:
            count = _write(self._place, self._tasks())
            paths = [self._place.part(number, count) for number in range(1, count + 1)]
            for number, path in enumerate(paths, 1):
                self._place.partial(number).replace(path)
            if paths:
                self._clear(paths)
        except OSError as error:
            raise OutputError(
                f"{error.filename or self._place.path} cannot be written: {error.strerror}.",
                "What is done is kept: make room, and run the same command again.",
            ) from None
        if complete:
            self._journal.remove()
        return _in_words(paths)

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()

    def _tasks(self) -> Iterator[bytes]:
        found = (self._journal.task(key) for key in self._keys())
        return (task for task in found if task is not None)

    def _clear(self, paths: list[Path]) -> None:
        """Take away what an earlier, shorter or longer, output of ours left."""
        partials = self._place.path.parent.glob(f"{_escaped(self._place.path.name)}.partial-*")
        for path in {*self._place.standing(), *partials} - set(paths):
            path.unlink()
        folder = os.open(self._place.path.parent, os.O_RDONLY)
        with suppress(OSError):  # some file systems sync no folders
            os.fsync(folder)
        os.close(folder)


def with_prediction(outcome: Outcome, version: str) -> bytes:
    """The item's task as JSON, with the prediction in place of an older one of the same version."""
    task: dict[str, Any] = dict(outcome.item.task)
    if outcome.prediction is not None:
        before = task.get("predictions")
        others = [one for one in before if not _is_of(one, version)] if isinstance(before, list) else []
        task["predictions"] = [*others, orjson.Fragment(outcome.prediction)]
    return orjson.dumps(task)


def _is_of(prediction: Any, version: str) -> bool:
    return isinstance(prediction, Mapping) and prediction.get("model_version") == version


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _write(place: Place, tasks: Iterable[bytes]) -> int:
    """Write the partial files, each whole and on the disk; how many."""
    number = held = size = 0
    with ExitStack() as part:
        file: BinaryIO | None = None
        for task in tasks:
            if file is None or held == place.part_tasks or size + len(task) > place.part_bytes:
                part.close()
                number, held, size = number + 1, 0, 0
                file = part.enter_context(_part(place.partial(number)))
            file.write((b",\n" if held else b"[\n") + task)
            held, size = held + 1, size + len(task)
    return number


@contextmanager
def _part(path: Path) -> Iterator[BinaryIO]:
    with path.open("wb") as file:
        yield file
        file.write(b"\n]\n")
        file.flush()
        os.fsync(file.fileno())


def _in_words(paths: list[Path]) -> str:
    if not paths:
        return "Nothing could be labeled, so there is no output."
    return f"Written to {paths[0]}" + (f" … {paths[-1].name}, {len(paths)} parts." if len(paths) > 1 else ".")
