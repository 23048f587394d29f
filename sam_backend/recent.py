"""The masks that were answered a moment ago: Label Studio's drafts lag behind the page by five seconds.

Who accepts a mask and cuts a piece off it at once asks before the draft holds the mask; who cuts twice asks while the
draft holds the mask without the first cut. So what was answered counts for some seconds, as if it had been accepted.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cachetools import TTLCache

from sam_backend.joins import Place

SECONDS = 10.0
_MOST_PLACES = 1000
_MOST_MASKS = 16

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Answered:
    result: Result
    prompt_ids: frozenset[str]
    at: float


class Recent:
    """Answered brush regions, by place, for `SECONDS`. Threads share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._places: TTLCache[Place, tuple[_Answered, ...]] = TTLCache(_MOST_PLACES, SECONDS, clock)

    def remember(self, place: Place, prompt_ids: Sequence[str], results: Sequence[Result]) -> None:
        """Keep an answer: its brush results, and the prompts that it is the answer to."""
        asked, now = frozenset(prompt_ids), self._clock()
        ids = {result["id"] for result in results}
        with self._lock:
            others = [one for one in self._places.get(place, ()) if one.result["id"] not in ids]
            new = [_Answered(result, asked, now) for result in results]
            self._places[place] = (*others, *new)[-_MOST_MASKS:]

    def masks(self, place: Place, prompt_ids: Sequence[str]) -> dict[str, Result]:
        """What was answered to other prompts than these, by region id; an answer to some of these is not done yet."""
        asked, oldest = frozenset(prompt_ids), self._clock() - SECONDS
        with self._lock:
            known = self._places.get(place, ())
        return {one.result["id"]: one.result for one in known if one.at > oldest and not one.prompt_ids & asked}
