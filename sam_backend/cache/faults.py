"""What goes wrong in a tier is counted each time and said once in a while: the service goes on without it."""

import logging
import threading
import time
from collections.abc import Callable

from sam_backend import metrics

logger = logging.getLogger(__name__)

_SECONDS = 60.0


class Faults:
    """Counts the faults of one tier; of each kind, one a minute is logged."""

    def __init__(self, tier: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._tier = tier
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def note(self, kind: str, cause: object) -> None:
        """Count a fault.

        Args:
            kind: `read`, `write`, `broken` (an entry), or `dropped` (more was to be written than could be).
            cause: what happened, in some words.
        """
        metrics.count_cache_fault(self._tier, kind)
        with self._lock:
            now = self._clock()
            if now - self._said.get(kind, -_SECONDS) < _SECONDS:
                self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
                return
            self._said[kind] = now
            unsaid = self._unsaid.pop(kind, 0)
        more = f" ({unsaid} more since the last time)" if unsaid else ""
        logger.warning("The %s cache goes on after a fault (%s): %s%s.", self._tier, kind, cause, more)
