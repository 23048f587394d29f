"""Joins clicks to the rectangle before them. Label Studio sends one kind of prompt or the other, never both at once.

What was asked is remembered by place: project, task, image and label; nothing of one place is seen at another. Label
Studio names no user, so two annotators who ask at one place at the same time are one to us.
"""

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import orjson

from sam_backend.labelstudio.prompts import PromptRequest
from sam_backend.labelstudio.regions import Click, Rectangle
from sam_backend.notes import Notes, Shelf

_MOST_PLACES = 10_000
_MOST_OTHERS = 16
_LONGEST_KEY = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Where prompts belong rectangles."""

    project: str
    task: str
    to_name: str
    item_index: int
    labels: tuple[str, ...]

    @classmethod
    def of(cls, project: str, task: object, request: PromptRequest) -> "Place":
        """The place of a request; a label is known by its value, whatever alias a control has for it."""
        control = request.control
        found = [(control.label(name), name) for name in request.labels]
        labels = tuple(label.value if label else name for label, name in found)
        return cls(project, str(task), control.to_name, request.item_index or 0, labels)

    @property
    def key(self) -> str:
        """Another text for each place, never a long one, whatever a request says."""
        text = orjson.dumps([self.project, self.task, self.to_name, self.item_index, self.labels])
        return text.decode() if len(text) <= _LONGEST_KEY else hashlib.sha256(text).hexdigest()


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt that was asked.

    Attributes:
        prompt_id: its id.
        shape: where it was then; a prompt that was moved was asked anew.
        at: when, in seconds of the clock.
        rectangles: those of the same request, oldest first.
        answers: the ids of all regions that it was answered with.
        latest: those of the last answer.
    """

    prompt_id: str
    shape: Click | Rectangle
    at: float
    rectangles: tuple[Rectangle, ...] = ()
    answers: frozenset[str] = frozenset()
    latest: frozenset[str] = frozenset()


class Joins:
    """What was asked, for as long as it may be joined. Threads share it.

    Args:
        seconds: how long a rectangle waits for clicks; 0 joins nothing.
        shelf: where other replicas, and this one after a restart, look for what was asked; None: nowhere.
        clock: seconds, roughly the same in all replicas.
        most: places in memory.
    """

    def __init__(
        self,
        seconds: float,
        shelf: Shelf | None = None,
        clock: Callable[[], float] = time.time,
        most: int = _MOST_PLACES,
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._notes = Notes("asked", tuple[Asked, ...], shelf, seconds=seconds, most=most, clock=clock)

    def ask(self, place: Place, request: PromptRequest, accepted: frozenset[str]) -> Asked | None:
        """Take note of a request.

        Args:
            place: where it was asked.
            request: its prompts.
            accepted: ids of the regions that stand in the task: an answer that was accepted is done with.

        Returns:
            The rectangle that clicks of this request may belong to: the newest prompt that is not in it, if that is a
            rectangle, asked within the window and not known to be accepted.
        """
        if not self._seconds:
            return None
        known = self._notes.change(place.key, lambda known: self._noted(known or (), request))
        others = [one for one in known if one.prompt_id not in request.prompt_ids]
        newest = others[-1] if others and request.clicks else None
        if newest is None or isinstance(newest.shape, Click) or newest.answers & accepted:
            return None
        return newest if self._clock() - newest.at < self._seconds else None

    def answer(self, place: Place, prompt_ids: Iterable[str], region_ids: Iterable[str]) -> None:
        """Take note of the regions that prompts were answered with, which is also when their window begins anew."""
        owners, latest, now = set(prompt_ids), frozenset(region_ids), self._clock()
        if not owners or not self._seconds:
            return
        self._notes.change(
            place.key,
            lambda known: tuple(
                replace(one, answers=one.answers | latest, latest=latest, at=now) if one.prompt_id in owners else one
                for one in known or ()
            ),
        )

    def _noted(self, known: tuple[Asked, ...], request: PromptRequest) -> tuple[Asked, ...]:
        """The prompts that are not in the request, then those that are, each in the order in which they were asked."""
        asked: tuple[Click | Rectangle, ...] = request.clicks or request.rectangles
        shapes = dict(zip(request.prompt_ids, asked, strict=True))
        others = [one for one in known if one.prompt_id not in shapes]
        kept = {one.prompt_id: one for one in known if shapes.get(one.prompt_id) == one.shape}
        now = self._clock()
        fresh = (Asked(name, shape, now) for name, shape in shapes.items() if name not in kept)
        here = (replace(one, rectangles=request.rectangles) for one in (*kept.values(), *fresh))
        return (*others[-_MOST_OTHERS:], *here)
