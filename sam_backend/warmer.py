"""Work that nobody waits for: newest first, and the next job is made ready while one is done."""

import itertools
import logging
import os
import sys
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from sam_backend import logs, metrics
from sam_backend.errors import SamBackendError

logger = logging.getLogger(__name__)

AHEAD = 2
"""Jobs that are made ready before their turn; what they hold stays in memory until then."""

_LAST = 19  # of 10, half of the gain was left

Job = TypeVar("Job", bound=Hashable)
Ready = TypeVar("Ready")


def step_back() -> None:
    """Leave the processor to this process's other threads, for good: no thread may raise itself again."""
    if sys.platform == "linux":  # elsewhere the call is for processes
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LAST)


class Warmer(Generic[Job, Ready]):
    """Does jobs in the background, one at a time; a second thread makes the next ones ready meanwhile.

    The task that was opened last is the one that is clicked next, so it goes first; when more than `most` wait, the
    oldest are let go. A job that waits already moves to the front, and begins anew. The threads start with the first
    job.

    Args:
        prepare: the first half of a job, such as to fetch an image and decode it.
        work: the other half.
        most: jobs that may wait; 0: there is nothing to do, ever.
        begin: called in the thread that does `work`, once.
    """

    def __init__(
        self,
        prepare: Callable[[Job], Ready],
        work: Callable[[Ready], object],
        most: int,
        begin: Callable[[], object] = lambda: None,
    ) -> None:
        self._prepare = prepare
        self._work = work
        self._begin = begin
        self._changed = threading.Condition()
        self._most = most
        self._waiting: dict[Job, Future[Ready] | None] = {}  # the last one is the first to be done
        self._counted = 0
        self._closed = False
        self._threads: list[threading.Thread] = []

    def add(self, jobs: Sequence[Job]) -> None:
        """Queue jobs, the first of them to be done first; returns at once."""
        with self._changed:
            if self._closed or not self._most:
                return
            for job in reversed(jobs):
                self._waiting.pop(job, None)
                self._waiting[job] = None
            for job in list(self._waiting)[: -self._most]:
                del self._waiting[job]
            self._start()
            self._tell()

    def close(self, timeout: float = 5.0) -> None:
        """Forget what waits, and give the job under way `timeout` seconds to end."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._tell()
        if self._threads:
            self._threads[0].join(timeout)

    def _start(self) -> None:
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._run, name="warmer", daemon=True),
                threading.Thread(target=self._run_ahead, name="warmer-ahead", daemon=True),
            ]
            for thread in self._threads:
                thread.start()

    def _tell(self) -> None:
        metrics.WARM_QUEUE.inc(len(self._waiting) - self._counted)
        self._counted = len(self._waiting)
        self._changed.notify_all()

    # ------------------------------------------------------------------------------------------------ the two threads

    def _run(self) -> None:
        self._begin()
        while (taken := self._take()) is not None:
            with logs.traced():
                self._do(*taken)

    def _take(self) -> tuple[Job, "Future[Ready] | None"] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            taken = self._waiting.popitem()
            self._tell()
            return taken

    def _do(self, job: Job, ready: "Future[Ready] | None") -> None:
        try:
            self._work(ready.result() if ready else self._prepare(job))
        except SamBackendError as error:
            if not self._closed:
                metrics.count_error(error)
                logger.warning("Not warmed: %s", logs.describe(error))
        except Exception as error:  # the thread outlives any one job
            metrics.count_error(error)
            logger.exception("Not warmed: a bug; please report it with this traceback.")

    def _run_ahead(self) -> None:
        while (taken := self._take_ahead()) is not None:
            job, ready = taken
            try:
                ready.set_result(self._prepare(job))
            except BaseException as error:  # noqa: BLE001 (told where the job is done)
                ready.set_exception(error)

    def _take_ahead(self) -> tuple[Job, "Future[Ready]"] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or None in self._first().values())
            if self._closed:
                return None
            first = self._first()
            for job in self._waiting.keys() - first:
                self._waiting[job] = None  # hold nothing for it
            job = next(job for job, ready in first.items() if ready is None)
            future: Future[Ready] = Future()
            self._waiting[job] = future
            return job, future

    def _first(self) -> dict[Job, "Future[Ready] | None"]:
        return dict(itertools.islice(reversed(self._waiting.items()), AHEAD))
