"""Work that nobody waits for: one thread, newest first."""

import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from sam_backend import logs, metrics
from sam_backend.errors import SamBackendError

logger = logging.getLogger(__name__)

Job = TypeVar("Job", bound=Hashable)


class Warmer(Generic[Job]):
    """Does jobs in the background, one at a time.

    The task that was opened last is the one that is clicked next, so it goes first; when more than `most` wait, the
    oldest are let go. A job that waits already
    only moves to the front. The thread starts with the first job.
    """

    def __init__(self, work: Callable[[Job], object], most: int) -> None:
        self._work = work
        self._most = most
        self._changed = threading.Condition()
        self._waiting: dict[Job, None] = {}
        self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, jobs: Sequence[Job]) -> None:
        """Queue jobs, the first of them to be done first; returns at once."""
        with self._changed:
            if self._closed or not self._most:
                return
            for job in reversed(jobs):
                self._waiting.pop(job, None)
                self._waiting[job] = None
            while len(self._waiting) > self._most:
                del self._waiting[next(iter(self._waiting))]
            self._start()
            metrics.WARM_QUEUE.set(len(self._waiting))
            self._changed.notify()

    def close(self, timeout: float = 5.0) -> None:
        """Forget what waits, and give the job under way `timeout` seconds to end."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify()
        if self._thread:
            self._thread.join(timeout)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="warmer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            with logs.traced():
                self._do(job)

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            job, _ = self._waiting.popitem()
            metrics.WARM_QUEUE.set(len(self._waiting))
            return job

    def _do(self, job: Job) -> None:
        try:
            self._work(job)
        except SamBackendError as error:
            metrics.count_error(error)
            logger.warning("Not warmed: %s", logs.describe(error))
        except Exception as error:  # the thread outlives any one job
            metrics.count_error(error)
            logger.exception("Not warmed: a bug; please report it with this traceback.")
