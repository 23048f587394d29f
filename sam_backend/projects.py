"""What Label Studio said about each project in `/setup`."""

import threading
from dataclasses import dataclass, field
from typing import Any

from cachetools import LRUCache

_MOST = 1000


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


class Projects:
    """The projects of this process, by Label Studio's project key; the least recently used one goes first.

    The whole key ("6.1795179528", the id and the time of creation) tells projects apart: two Label Studios that share
    this backend both have a project 6.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._lock = threading.Lock()
        self._projects: LRUCache[str, Project] = LRUCache(most)

    def remember(self, key: str, project: Project) -> None:
        """Keep what `/setup` said; it replaces what an earlier one said."""
        with self._lock:
            self._projects[key] = project

    def get(self, key: str) -> Project:
        """What `/setup` said of the project; an empty one when this process has not heard of it."""
        with self._lock:
            return self._projects.get(key) or Project()
