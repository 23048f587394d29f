"""Finished work that waits to be asked for, under a budget in bytes.

What was asked for already goes first, then the oldest. Work that nobody waits for yet is better left undone than put on
a shelf that is full of the same: `is_full` says so. What nobody asked for within `FRESH_SECONDS` counts as asked for.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

FRESH_SECONDS = 4 * 3600.0
_FULL = 0.9


class Shelf(Generic[Key]):
    """Bytes by key. Threads share it."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._values: OrderedDict[Key, bytes] = OrderedDict()
        self._fresh: OrderedDict[Key, float] = OrderedDict()
        self._bytes = self._fresh_bytes = 0

    def get(self, key: Key) -> bytes | None:
        """The value, or None; looking is not asking for it."""
        with self._lock:
            return self._values.get(key)

    def put(self, key: Key, value: bytes) -> None:
        """Keep a value that is yet to be asked for; one that is larger than the whole budget is let go."""
        with self._lock:
            self._drop(key)
            if len(value) > self._max_bytes:
                return
            while self._bytes + len(value) > self._max_bytes:
                asked = next((known for known in self._values if known not in self._fresh), None)
                self._drop(next(iter(self._values)) if asked is None else asked)
            self._values[key] = value
            self._fresh[key] = self._clock()
            self._bytes += len(value)
            self._fresh_bytes += len(value)

    def ask(self, key: Key) -> None:
        """Note that somebody was given the value."""
        with self._lock:
            self._age(key)

    @property
    def is_full(self) -> bool:
        """Whether there is hardly room for more that nobody has asked for."""
        with self._lock:
            oldest = self._clock() - FRESH_SECONDS
            while self._fresh and next(iter(self._fresh.values())) < oldest:
                self._age(next(iter(self._fresh)))
            return self._fresh_bytes > _FULL * self._max_bytes

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        with self._lock:
            return self._bytes

    def _age(self, key: Key) -> None:
        if self._fresh.pop(key, None) is not None:
            self._fresh_bytes -= len(self._values[key])

    def _drop(self, key: Key) -> None:
        self._age(key)
        self._bytes -= len(self._values.pop(key, b""))
