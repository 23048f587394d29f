"""Bytes by key in files, which outlive the process and which several processes share.

`folder/ab/abcd…`: the name is the SHA-256 of the key, its first two digits the sub-folder. A file appears whole or not
at all: it is written beside its place and then renamed. Nothing waits for the disk to have it in a power cut: what was
torn then is found out when it is read. Whoever reads a file that another removes reads it to its end. Processes lock
each other out where they change what is there, and nowhere else.
"""

import contextlib
import fcntl
import hashlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from sam_backend.cache import frame
from sam_backend.cache.budget import TEMPORARY, Budget
from sam_backend.cache.faults import Faults
from sam_backend.cache.frame import BrokenEntryError, Part

_LOCK = "lock"

LOCK_SECONDS = 1.0
"""How long one waits for another process to have made its change."""


class DiskCache:
    """Keeps at most `max_bytes` in `folder`, which is made. Threads and processes share it.

    Whatever goes wrong later is counted, said once in a while, and a miss.

    Raises:
        OSError: the folder cannot be made.
    """

    name = "disk"

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._budget = Budget(folder, max_bytes)
        self._faults = Faults(self.name)
        self._changes = threading.Lock()

    def get(self, key: str) -> memoryview | None:
        """What was put under `key`, byte for byte, now the most recently used; or None."""
        path = self._path(key)
        try:
            value = frame.unseal(key, path.read_bytes())
        except FileNotFoundError:
            return None
        except BrokenEntryError as error:
            self.discard(key, error)
            return None
        except OSError as error:
            self._faults.note("read", error)
            return None
        # On a disk that is full or cannot be written, what was read is still right.
        with contextlib.suppress(OSError):
            os.utime(path)
        return value

    def put(self, key: str, value: Sequence[Part]) -> None:
        """Keep a value, given in parts that stand one after the other; what does not fit the budget is let go."""
        try:
            self._write(key, value)
        except OSError as error:
            self._faults.note("write", error)

    def change(self, key: str, change: Callable[[memoryview | None], bytes]) -> bool:
        """Put what `change` makes of what is there, which nobody else changes meanwhile.

        Args:
            key: what it is kept under.
            change: gets what was put, or None.

        Returns:
            Whether it was put.
        """
        try:
            with self._alone():
                return self._write(key, [change(self.get(key))])
        except OSError as error:
            self._faults.note("write", error)
            return False

    def discard(self, key: str, cause: object) -> None:
        """Remove an entry that is of no use; `cause` says why."""
        path = self._path(key)
        self._faults.note("broken", f"{path} is not used, {cause}")
        with contextlib.suppress(OSError):
            path.unlink()

    def is_there(self) -> bool:
        """Whether the folder can be read and written; a full disk is not looked for."""
        return os.access(self._folder, os.R_OK | os.W_OK | os.X_OK)

    def _write(self, key: str, value: Sequence[Part]) -> bool:
        entry = frame.seal(key, value)
        fits = self._budget.admit(sum(memoryview(part).nbytes for part in entry))
        if fits:
            _write(self._path(key), entry)
        return fits

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread or process is in here; the lock of one that died is free.

        Raises:
            BlockingIOError: a process has it that does not go on.
        """
        with self._changes, (self._folder / _LOCK).open("ab") as lock:
            end = time.monotonic() + LOCK_SECONDS
            while not _locked(lock, is_last=time.monotonic() > end):
                time.sleep(0.002)
            yield

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self._folder / name[:2] / name


def _locked(file: IO[bytes], *, is_last: bool) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if is_last:
            raise
        return False
    return True


def _write(path: Path, parts: Sequence[Part]) -> None:
    temporary = path.with_name(f"{uuid.uuid4().hex}{TEMPORARY}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("xb") as file:
            file.writelines(parts)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
