"""What is done so far, on disk: one line of JSON for each task, appended as it is done.

    {"journal": 1, "about": {"version": "builtin-...", ...}}
    {"key": "a/1.jpg", "sum": 2774308421, "task": {"data": {...}, "predictions": [...]}}

The sum is the task's CRC-32: a line that was torn when the process or the machine stopped is found, and cut off with
what follows. Memory holds where each line begins, not the lines. One process at a time has the journal: it is locked.
"""

import fcntl
import hashlib
import json
import os
import re
import time
import zlib
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from sam_backend.errors import JobError, OutputError

_LINE = re.compile(rb'\{"key":("(?:[^"\\]|\\.)*"),"sum":(\d+),"task":')
_END = b"}\n"
_SYNC_SECONDS = 5.0


class Journal:
    """The tasks that are done, by key.

    Args:
        path: the file; it is made if it is not there.
        about: what a run must have in common with the one that began it, by name.
        restart: forget what it has.

    Raises:
        JobError: it belongs to a run of other parameters, or to one that is under way; or it is no journal.
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, about: Mapping[str, str], *, restart: bool = False) -> None:
        self._path = path
        self._at: dict[bytes, int] = {}
        self._file = _locked(path)
        self._reader = path.open("rb")
        self._synced = time.monotonic()
        try:
            self._end = 0 if restart else self._read(about)
            self._file.truncate(self._end)
            if not self._end:
                self._append(_header(about))
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, key: str) -> bool:
        return _short(key) in self._at

    def add(self, key: str, task: bytes) -> None:
        """Keep a task; it outlives the process when this returns, and the machine some seconds later.

        Args:
            key: the item's.
            task: JSON in one line.

        Raises:
            OutputError: it cannot be written.
        """
        line = b'{"key":%s,"sum":%d,"task":%s%s' % (json.dumps(key).encode(), zlib.crc32(task), task, _END)
        start = self._end
        self._append(line)
        self._at[_short(key)] = start

    def task(self, key: str) -> bytes | None:
        """The task as it was added, or None."""
        start = self._at.get(_short(key))
        if start is None:
            return None
        self._reader.seek(start)
        line = self._reader.readline()
        found = _LINE.match(line)
        return line[found.end() : -len(_END)] if found else None

    def remove(self) -> None:
        """Delete it: the output is there."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Write it out, and let others have it. It may be called twice."""
        self._reader.close()
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def _read(self, about: Mapping[str, str]) -> int:
        """Note where the lines begin; the end of the last good one, 0 where not even the header is whole."""
        first = self._reader.readline()
        if _is_torn(first, about):
            return 0
        _check(first, about, self._path)
        end = len(first)
        for key, length in _lines(self._reader):
            self._at[_short(key)] = end
            end += length
        return end

    def _append(self, line: bytes) -> None:
        try:
            self._file.seek(self._end)
            left = memoryview(line)
            while left:
                left = left[self._file.write(left) :]
            self._end += len(line)
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise OutputError(
                f"{self._path} cannot be written: {error.strerror}.", "Make room, and run the same command again."
            ) from None


def peek(path: Path, about: Mapping[str, str]) -> int:
    """How many tasks a journal has; 0 where there is none. Nothing is written, and no lock taken.

    Raises:
        JobError: it belongs to a run of other parameters, or is no journal.
    """
    if not path.exists():
        return 0
    with path.open("rb") as file:
        first = file.readline()
        if _is_torn(first, about):
            return 0
        _check(first, about, path)
        return sum(1 for _ in _lines(file))


def _lines(file: BinaryIO) -> Iterator[tuple[str, int]]:
    """Key and length of each line, up to the first that is torn."""
    for line in file:
        found = _LINE.match(line)
        if not found or not line.endswith(_END) or zlib.crc32(line[found.end() : -len(_END)]) != int(found[2]):
            return
        yield json.loads(found[1]), len(line)


def _header(about: Mapping[str, str]) -> bytes:
    return json.dumps({"journal": 1, "about": dict(about)}).encode() + b"\n"


def _is_torn(header: bytes, about: Mapping[str, str]) -> bool:
    """Whether the process stopped while it wrote the header, or before."""
    return not header.endswith(b"\n") and _header(about).startswith(header)


def _check(header: bytes, about: Mapping[str, str], path: Path) -> None:
    try:
        before = json.loads(header)["about"]
    except (ValueError, KeyError, TypeError):
        raise JobError(f"{path} is no journal of this program.", "Give another --output, or --restart.") from None
    other = [name for name in {**before, **about} if before.get(name) != about.get(name)]
    if other:
        name = other[0]
        raise JobError(
            f"{path} belongs to a run with another {name}: {before.get(name)!r}, not {about.get(name)!r}.",
            "Finish that one with its own options, or give --restart to forget what it has done.",
        )


def _locked(path: Path) -> FileIO:
    """The file, open for writing and ours alone."""
    while True:
        try:
            file = FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666), "wb")
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}.", "Give another --output.") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        except BlockingIOError:
            file.close()
            raise JobError(f"Another run is writing {path}.", "Wait for it, or give another --output.") from None
        file.close()  # the run that had it finished in between, and took it away


def _short(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=16).digest()
