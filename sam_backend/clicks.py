"""The threads that answer clicks: so many at a time, so many that wait for them, and no more."""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sam_backend import metrics
from sam_backend.errors import BusyError, GoneError

Answer = TypeVar("Answer")


class Clicks:
    """They are not the threads that speak HTTP: however many clicks wait, /health and /setup are answered.

    Args:
        threads: clicks that are answered at the same time.
        queue: clicks that may wait for them.
    """

    def __init__(self, threads: int, queue: int) -> None:
        self._most = threads + queue
        self._room = threading.BoundedSemaphore(self._most)
        self._pool = ThreadPoolExecutor(threads, "click")

    def answer(self, work: Callable[[], Answer], is_gone: Callable[[], bool] = lambda: False) -> Answer:
        """What `work` returns, in one of the threads, which note its stages in the caller's trace.

        Args:
            work: answers the click.
            is_gone: whether nobody waits for the answer any more; asked when its turn has come.

        Raises:
            BusyError: too many wait already; nothing was done.
            GoneError: nobody waits any more; nothing was done.
        """
        if not self._room.acquire(blocking=False):
            raise BusyError(f"{self._most} clicks are being answered or wait already.", "Try again in a moment.")
        try:
            with metrics.CLICKS.track_inprogress():
                return self._pool.submit(contextvars.copy_context().run, _unless_gone, work, is_gone).result()
        finally:
            self._room.release()

    def close(self) -> None:
        """Answer none of those that wait; those that are being answered come to their end."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _unless_gone(work: Callable[[], Answer], is_gone: Callable[[], bool]) -> Answer:
    if is_gone():
        raise GoneError("Nobody waits for this answer any more.")
    return work()
