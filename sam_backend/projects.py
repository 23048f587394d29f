"""What Label Studio said about each project in `/setup`, and where a restart or another replica finds it."""

from dataclasses import dataclass, field
from typing import Any

from sam_backend.notes import Notes, Shelf

_MOST = 64_000_000
_BESIDES = 2000
"""What a project weighs beside its label config, in characters."""


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
    """The projects by Label Studio's project key; in memory, the least recently used one goes first.

    The whole key ("6.1795179528", the id and the time of creation) tells projects apart: two Label Studios that share
    this backend both have a project 6.

    Args:
        shelf: where other replicas, and this one after a restart, look for what `/setup` said; None: nowhere.
        most: characters of their label configs in memory.
    """

    def __init__(self, shelf: Shelf | None = None, most: int = _MOST) -> None:
        self._notes = Notes("project", Project, shelf, most=most, weigh=lambda one: len(one.label_config) + _BESIDES)

    def remember(self, key: str, project: Project) -> None:
        """Keep what `/setup` said; it replaces what an earlier one said, to whichever replica."""
        self._notes.change(key, lambda _: project)

    def get(self, key: str) -> Project:
        """What `/setup` said last of the project; an empty one when nobody has heard of it."""
        return self._notes.get(key) or Project()
