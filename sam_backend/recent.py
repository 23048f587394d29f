"""The masks that were answered a moment ago: Label Studio's drafts lag behind the page by five seconds.

Who accepts a mask and cuts a piece off it at once asks before the draft holds the mask; who cuts twice asks while the
draft holds the mask without the first cut. So what was answered counts for some seconds, as if it had been accepted.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from sam_backend.joins import Place
from sam_backend.labelstudio.streams import Streams
from sam_backend.notes import Notes, Shelf

SECONDS = 10.0
_MOST_PLACES = 1000
_MOST_MASKS = 16

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Answered:
    """A region as JSON: it is noted again with each answer that follows, and read when a click may be meant for it."""

    region_id: str
    text: str
    prompt_ids: frozenset[str]
    at: float


class Recent:
    """Answered brush regions, by place, for `SECONDS`. Threads share it.

    Args:
        shelf: where other replicas, and this one after a restart, look for them; None: nowhere.
        clock: seconds, roughly the same in all replicas.
    """

    def __init__(self, shelf: Shelf | None = None, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._streams = Streams()
        self._notes = Notes("answered", tuple[_Answered, ...], shelf, seconds=SECONDS, most=_MOST_PLACES, clock=clock)

    def remember(self, place: Place, prompt_ids: Sequence[str], results: Sequence[Mapping[str, Any]]) -> None:
        """Keep an answer: its brush results, and the prompts that it is the answer to."""
        if not results:
            return
        asked, now = frozenset(prompt_ids), self._clock()
        new = [_Answered(result["id"], orjson.dumps(dict(result)).decode(), asked, now) for result in results]
        ids = {result["id"] for result in results}

        def with_new(known: tuple[_Answered, ...] | None) -> tuple[_Answered, ...]:
            others = (one for one in known or () if one.region_id not in ids and one.at > now - SECONDS)
            return (*others, *new)[-_MOST_MASKS:]

        self._notes.change(place.key, with_new)

    def masks(self, place: Place, prompt_ids: Sequence[str]) -> dict[str, Result]:
        """What was answered to other prompts than these, by region id; an answer to some of these is not done yet."""
        asked, oldest = frozenset(prompt_ids), self._clock() - SECONDS
        known = self._notes.get(place.key) or ()
        return {
            one.region_id: self._streams.loads(one.text.encode())
            for one in known
            if one.at > oldest and not one.prompt_ids & asked
        }
