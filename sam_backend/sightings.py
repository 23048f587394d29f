"""What an address showed when it was last asked: a click a moment later needs no second look."""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from cachetools import LRUCache

from sam_backend.labelstudio.fetch import Stamp

_MOST = 4096
_NEVER = float("-inf")

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen.

    Attributes:
        digest: the file's.
        stamp: by what its server knows it.
        at: when it was asked for, on the clock of the `Sightings`.
    """

    digest: bytes
    stamp: Stamp
    at: float = _NEVER


class Sightings(Generic[Key]):
    """Sightings by who looked where: the key holds the asker's tokens too. Threads share it.

    Args:
        seconds: how long a sighting is as good as a look; 0: not at all.
        most: how many are kept, the least recently used ones go first.
        clock: seconds.
    """

    def __init__(self, seconds: float, most: int = _MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: LRUCache[Key, Sighting] = LRUCache(most)

    def now(self) -> float:
        """The moment, to be taken before looking."""
        return self._clock()

    def note(self, key: Key, sighting: Sighting) -> None:
        """Keep what was seen."""
        with self._lock:
            self._kept[key] = sighting

    def forget(self, key: Key) -> None:
        """Keep nothing of it."""
        with self._lock:
            self._kept.pop(key, None)

    def doubt(self, key: Key) -> None:
        """It is no longer as good as a look."""
        with self._lock:
            if key in self._kept:
                self._kept[key] = replace(self._kept[key], at=_NEVER)

    def last(self, key: Key) -> Sighting | None:
        """What was seen last, however long ago."""
        with self._lock:
            return self._kept.get(key)

    def fresh(self, key: Key) -> Sighting | None:
        """What was seen, if that is as good as a look."""
        last = self.last(key)
        return last if last and self._clock() - last.at < self._seconds else None
