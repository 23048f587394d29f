"""The bytes that a folder of files may occupy: the files that were used longest ago go first.

Several processes share the folder. Each counts what it writes, and looks at the whole folder only when that may have
become too much: after every twentieth of the budget, and when what it knows of would not fit. So an entry costs the
same in a folder of ten as in one of a hundred thousand; and n processes together exceed the budget by no more than
n twentieths of it, until the next of them looks.
"""

import contextlib
import errno
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TEMPORARY = ".tmp"

_SHARD = re.compile(r"[0-9a-f]{2}")
_ENTRY = re.compile(r"[0-9a-f]{64}")
_LOOK_AFTER = 20  # of so many parts of the budget, one
_KEEP = 0.9  # of the budget, when something has to go: else the next entry would have to look again
_ABANDONED = 600.0  # seconds: a temporary file as old as that has lost its writer


class _File(NamedTuple):
    used: float
    size: int
    path: str


class Budget:
    """Makes room for files in `folder/xx/`. Threads share it.

    Only what a cache wrote is counted and removed: names of 64 hexadecimal digits, and temporary files that their
    writer left behind.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max = max_bytes
        self._lock = threading.Lock()
        self._known: int | None = None
        self._unseen = 0

    def admit(self, size: int) -> bool:
        """Make room for a file that is about to be written; False when it is larger than the whole budget.

        Raises:
            OSError: the folder cannot be read, or what is in it cannot be removed.
        """
        if size > self._max:
            return False
        with self._lock:
            if self._known is None or self._known + size > self._max or self._unseen * _LOOK_AFTER > self._max:
                self._known, self._unseen = self._look(size), 0
            self._known += size
            self._unseen += size
        return True

    def _look(self, size: int) -> int:
        """Remove what must go to make room for `size` bytes; the bytes that are there then."""
        files = list(self._files())
        total = sum(file.size for file in files)
        if total + size > self._max:
            for file in sorted(files):
                if total + size <= self._max * _KEEP:
                    break
                if _remove(file.path):
                    total -= file.size
            if total + size > self._max:
                raise OSError(errno.ENOSPC, "the budget is taken by files that cannot be removed")
        return total

    def _files(self) -> Iterator[_File]:
        # A folder that vanished is empty: whoever writes makes it again.
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as shards:
            for shard in shards:
                if _SHARD.fullmatch(shard.name) and shard.is_dir(follow_symlinks=False):
                    yield from _entries(shard.path)


def _entries(shard: str) -> Iterator[_File]:
    with contextlib.suppress(FileNotFoundError), os.scandir(shard) as files:
        for file in files:
            # Another process may have removed it since; then there is nothing to count.
            with contextlib.suppress(FileNotFoundError):
                if _ENTRY.fullmatch(file.name) and file.is_file(follow_symlinks=False):
                    stat = file.stat(follow_symlinks=False)
                    yield _File(stat.st_mtime, stat.st_size, file.path)
                elif file.name.endswith(TEMPORARY) and time.time() - file.stat().st_mtime > _ABANDONED:
                    _remove(file.path)


def _remove(path: str) -> bool:
    """Whether the file is gone now, whoever removed it."""
    try:
        Path(path).unlink(missing_ok=True)
    except OSError:
        return False
    return True
