"""What Label Studio said about each project in `/setup`, and where a restart or another replica finds it."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, Self

import orjson
from cachetools import LRUCache

_MOST = 1000


class Shelf(Protocol):
    """Where bytes outlive the process or are shared. It never raises: what it cannot do is a miss."""

    def get(self, key: str) -> memoryview | None:
        """What was put, byte for byte, or None."""

    def put(self, key: str, value: list[bytes | memoryview]) -> None:
        """Keep the parts of a value."""


@dataclass(frozen=True, slots=True)
class Project:
    """One project's `/setup`; one that was never set up has nothing in it.

    Attributes:
        label_config: its labeling interface (XML).
        hostname: the address that Label Studio has in its own eyes.
        access_token: the project creator's token, good for `hostname` at most.
        extra_params: whatever the backend's settings page says: an object, a string or None.
    """

    label_config: str = ""
    hostname: str = ""
    access_token: str = field(default="", repr=False)
    extra_params: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Heard:
    """What one `/setup` said, and when."""

    project: Project
    at: float

    def packed(self) -> bytes:
        """All of it, the token included."""
        return orjson.dumps({"at": self.at, "project": asdict(self.project)})

    @classmethod
    def unpacked(cls, data: memoryview) -> Self | None:
        """What was packed; None of what is something else, such as another version's."""
        try:
            document = orjson.loads(data)
            return cls(Project(**document["project"]), float(document["at"]))
        except (ValueError, TypeError, KeyError):
            return None


class Projects:
    """The projects by Label Studio's project key; in memory, the least recently used one goes first.

    The whole key ("6.1795179528", the id and the time of creation) tells projects apart: two Label Studios that share
    this backend both have a project 6.

    Args:
        shelf: where other replicas, and this one after a restart, look for what `/setup` said; None: nowhere.
        most: projects in memory.
        clock: seconds that replicas agree on: the newest `/setup` counts.
    """

    def __init__(self, shelf: Shelf | None = None, most: int = _MOST, clock: Callable[[], float] = time.time) -> None:
        self._shelf = shelf
        self._clock = clock
        self._lock = threading.Lock()
        self._heard: LRUCache[str, _Heard] = LRUCache(most)

    def remember(self, key: str, project: Project) -> None:
        """Keep what `/setup` said; it replaces what an earlier one said, to whichever replica."""
        self._keep(key, _Heard(project, self._clock()))

    def get(self, key: str) -> Project:
        """What `/setup` said last of the project; an empty one when nobody has heard of it."""
        with self._lock:
            here = self._heard.get(key)
        there = self._look(key)
        if there and (here is None or there.at >= here.at):
            with self._lock:
                self._heard[key] = there
            return there.project
        if here is None:
            return Project()
        if self._shelf:  # it was gone when this was heard
            self._keep(key, here)
        return here.project

    def _look(self, key: str) -> _Heard | None:
        data = self._shelf.get(_name(key)) if self._shelf else None
        return None if data is None else _Heard.unpacked(data)

    def _keep(self, key: str, heard: _Heard) -> None:
        with self._lock:
            self._heard[key] = heard
        if self._shelf:
            self._shelf.put(_name(key), [heard.packed()])


def _name(key: str) -> str:
    return f"project {key}"
