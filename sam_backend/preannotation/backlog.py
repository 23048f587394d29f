"""Work in the background that somebody may wait for: newest request first, each thing once, bounded."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sam_backend import logs, metrics
from sam_backend.errors import SamBackendError

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Rank = tuple[float, float]

_MOST_OLD_PLACES = 1000


class LetGoError(Exception):
    """A job was not done, and that is nobody's fault: it may be asked for again."""


@dataclass(eq=False, slots=True)
class Job(Generic[Key, Value]):
    """Something to do.

    Attributes:
        key: equal for jobs of equal outcome.
        work: does it.
        rank: the smallest is done first.
        until: when, on the monotonic clock, the last one gives up waiting.
        future: its outcome; cancelled when the job is let go.
    """

    key: Key
    work: "Callable[[Job[Key, Value]], Value]"
    rank: Rank
    until: float = 0.0
    future: "Future[Value]" = field(default_factory=Future)

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for it now."""
        return time.monotonic() < self.until


class Backlog(Generic[Key, Value]):
    """Does jobs in a few threads, which start with the first job. A failure is logged, and set as the outcome.

    Args:
        name: of the threads.
        threads: how many.
        most: jobs that may wait; beyond it, those of the largest rank are let go.
        join_running: whether a job of the same key that is being done already is as good as a new one.
        begin: called in each thread, once.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        most: int,
        *,
        join_running: bool,
        begin: Callable[[], object] = lambda: None,
    ) -> None:
        self._name = name
        self._begin = begin
        self._size = threads
        self._most = most
        self._join_running = join_running
        self._changed = threading.Condition()
        self._waiting: dict[Key, Job[Key, Value]] = {}
        self._running: dict[Key, Job[Key, Value]] = {}
        self._heap: list[tuple[Rank, int, Job[Key, Value]]] = []
        self._numbers = itertools.count()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def add(self, jobs: Sequence[Job[Key, Value]]) -> list[Job[Key, Value]]:
        """Queue jobs; returns at once.

        Returns:
            For each the job that will be done: itself, or the one of its key that waits or is being done. One that
            waits moves ahead to the new one's rank.
        """
        with self._changed:
            added = [self._add(job) for job in jobs]
            self._let_go()
            self._tidy()
            self._start()
            self._changed.notify_all()
        return added

    def close(self) -> None:
        """Let go of all that waits; `join` waits for what is being done."""
        with self._changed:
            self._closed = True
            for job in self._waiting.values():
                job.future.cancel()
            self._waiting.clear()
            self._heap.clear()
            self._changed.notify_all()

    def join(self, timeout: float) -> None:
        """Wait for what is being done, for so many seconds in all."""
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def _add(self, job: Job[Key, Value]) -> Job[Key, Value]:
        if self._closed:
            job.future.cancel()
            return job
        known = self._waiting.get(job.key) or (self._running.get(job.key) if self._join_running else None)
        if known:
            known.rank = min(known.rank, job.rank)
            known.until = max(known.until, job.until)
            job = known
        else:
            self._waiting[job.key] = job
        if job.key in self._waiting:
            heapq.heappush(self._heap, (job.rank, next(self._numbers), job))
        return job

    def _let_go(self) -> None:
        excess = len(self._waiting) - self._most
        if excess <= 0:
            return
        for job in heapq.nlargest(excess, self._waiting.values(), key=lambda one: one.rank):
            del self._waiting[job.key]
            job.future.cancel()
        logger.warning("%d tasks are let go: more than %d wait (SAM_AUTOMATIC_QUEUE).", excess, self._most)

    def _tidy(self) -> None:
        """Forget jobs' older places in the heap, where they have become many."""
        if len(self._heap) > 2 * len(self._waiting) + _MOST_OLD_PLACES:
            self._heap = [(job.rank, next(self._numbers), job) for job in self._waiting.values()]
            heapq.heapify(self._heap)

    def _start(self) -> None:
        while len(self._threads) < self._size and not self._closed:
            thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        self._begin()
        while (job := self._next()) is not None:
            with logs.traced():
                self._do(job)

    def _next(self) -> Job[Key, Value] | None:
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._heap or self._closed)
                if self._closed:
                    return None
                rank, _, job = heapq.heappop(self._heap)
                # A job that moved ahead stands in the heap twice, one that was let go still once.
                if self._waiting.get(job.key) is job and job.rank == rank:
                    del self._waiting[job.key]
                    self._running[job.key] = job
                    return job

    def _do(self, job: Job[Key, Value]) -> None:
        job.future.set_running_or_notify_cancel()
        try:
            job.future.set_result(job.work(job))
        except LetGoError as error:
            job.future.set_exception(error)
        except SamBackendError as error:
            metrics.count_error(error)
            logger.warning("Not labeled: %s", logs.describe(error))
            job.future.set_exception(error)
        except Exception as error:  # the thread outlives any one job
            metrics.count_error(error)
            logger.exception("Not labeled: a bug; please report it with this traceback.")
            job.future.set_exception(error)
        finally:
            # The outcome is set first: who comes after this line finds it where `work` left it.
            with self._changed:
                if self._running.get(job.key) is job:
                    del self._running[job.key]
