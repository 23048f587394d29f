"""Work that nobody waits for: newest first, and the next job is made ready while one is done."""

import logging
import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from sam_backend import logs, metrics
from sam_backend.errors import SamBackendError

logger = logging.getLogger(__name__)

AHEAD = 2
"""Jobs that are made ready before their turn; what they hold stays in memory until then."""

Job = TypeVar("Job", bound=Hashable)
Ready = TypeVar("Ready")


class Warmer(Generic[Job, Ready]):
    """Does jobs in the background, one at a time; a second thread makes the next ones ready meanwhile.

    The task that was opened last is the one that is clicked next, so it goes first; what may be opened later goes after
    all that was opened. When more than `most` of a kind wait, the oldest are let go. A job that waits already moves to
    the front, and begins anew. The threads start with the first job.

    Args:
        prepare: the first half of a job, such as to fetch an image and decode it.
        work: the other half.
        most: jobs of either kind that may wait; 0: there is nothing to do, ever.
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
        self._opened: _Waiting[Job, Ready] = _Waiting(most)
        self._later: _Waiting[Job, Ready] = _Waiting(most)
        self._most = most
        self._closed = False
        self._threads: list[threading.Thread] = []

    def add(self, jobs: Sequence[Job], *, later: bool = False) -> None:
        """Queue jobs, the first of them to be done first; returns at once.

        Args:
            jobs: what to do.
            later: after all those that are not so; what waits among those stays there.
        """
        with self._changed:
            if self._closed or not self._most:
                return
            if later:
                self._later.add([job for job in jobs if job not in self._opened])
            else:
                self._later.remove(jobs)
                self._opened.add(jobs)
            self._start()
            self._count()
            self._changed.notify_all()

    def close(self, timeout: float = 5.0) -> None:
        """Forget what waits, and give the job under way `timeout` seconds to end."""
        with self._changed:
            self._closed = True
            self._opened.clear()
            self._later.clear()
            self._changed.notify_all()
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

    def _count(self) -> None:
        metrics.WARM_QUEUE.set(len(self._opened) + len(self._later))

    # ------------------------------------------------------------------------------------------------ the two threads

    def _run(self) -> None:
        self._begin()
        while (taken := self._take()) is not None:
            with logs.traced():
                self._do(*taken)

    def _take(self) -> tuple[Job, "Future[Ready] | None"] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._opened or self._later or self._closed)
            if self._closed:
                return None
            taken = (self._opened or self._later).take()
            self._count()
            self._changed.notify_all()
            return taken

    def _do(self, job: Job, ready: "Future[Ready] | None") -> None:
        try:
            self._work(ready.result() if ready else self._prepare(job))
        except SamBackendError as error:
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
            while not self._closed:
                ahead = [*self._opened.first(AHEAD), *self._later.first(AHEAD)][:AHEAD]
                for waiting in (self._opened, self._later):
                    waiting.let_go_but(ahead)
                    job = next((job for job in ahead if waiting.is_raw(job)), None)
                    if job is not None:
                        return job, waiting.begin(job)
                self._changed.wait()
            return None


class _Waiting(Generic[Job, Ready]):
    """Jobs in the order in which they are to be done, and what is known of those that are being made ready."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._jobs: dict[Job, Future[Ready] | None] = {}  # the last one is the first to be done

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: object) -> bool:
        return job in self._jobs

    def add(self, jobs: Sequence[Job]) -> None:
        """Put them first; what was made ready of an older one is out of date."""
        for job in reversed(jobs):
            self._jobs.pop(job, None)
            self._jobs[job] = None
        for job in list(self._jobs)[: max(0, len(self) - self._most)]:
            del self._jobs[job]

    def remove(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._jobs.pop(job, None)

    def clear(self) -> None:
        self._jobs.clear()

    def take(self) -> tuple[Job, "Future[Ready] | None"]:
        return self._jobs.popitem()

    def first(self, count: int) -> list[Job]:
        return [job for job, _ in zip(reversed(self._jobs), range(count), strict=False)]

    def is_raw(self, job: Job) -> bool:
        return job in self._jobs and self._jobs[job] is None

    def begin(self, job: Job) -> "Future[Ready]":
        future: Future[Ready] = Future()
        self._jobs[job] = future
        return future

    def let_go_but(self, jobs: Sequence[Job]) -> None:
        """Hold nothing for others."""
        for job in self._jobs.keys() - jobs:
            self._jobs[job] = None
