"""Values in memory, least recently used first out, under a budget in bytes."""

import threading
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

from cachetools import LRUCache


class Sized(Protocol):
    """A value that knows how many bytes it occupies."""

    @property
    def nbytes(self) -> int:
        """Bytes that it occupies."""


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value", bound=Sized)


class MemoryCache(Generic[Key, Value]):
    """A thread-safe LRU cache whose values together never occupy more than `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._lock = threading.Lock()
        self._values: LRUCache[Key, Value] = LRUCache(max_bytes, getsizeof=lambda value: value.nbytes)

    def get(self, key: Key) -> Value | None:
        """The value, now the most recently used one, or None."""
        with self._lock:
            return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Keep the value; one that is larger than the whole budget is let go."""
        if value.nbytes > self._values.maxsize:
            return
        with self._lock:
            self._values[key] = value

    @property
    def nbytes(self) -> int:
        """Bytes in use."""
        with self._lock:
            return int(self._values.currsize)
