"""Executor: several processes of this machine, each with a model of its own.

Each is a pool of one, so that it is known whose item it was when one dies (killed, out of memory): a new one takes its
place, and the item is tried once more. The processes end when this one does, however it ends: each watches a pipe
whose other end is here.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Self

from sam_backend import logs
from sam_backend.errors import JobError
from sam_backend.prelabel.machine import log_level, share
from sam_backend.prelabel.types import Item, Order, Outcome

logger = logging.getLogger(__name__)

_SPAWN = multiprocessing.get_context("spawn")
_AHEAD = 2
"""Items that a process has: one under way, and the next, so that it needn't wait for it."""
_TRIES = 2
_MOST_DEATHS = 5
"""Of one place's processes, with no outcome in between: then it isn't the items."""


@dataclass(frozen=True, slots=True)
class Processes:
    """So many processes; each has its share of the cores, or `SAM_INFERENCE_THREADS`."""

    workers: int

    def __call__(self, order: Order, items: Iterable[Item]) -> Generator[Outcome, None, None]:
        """Label the items; none is asked for before a process will soon have time for it.

        Raises:
            StartError: the model cannot be used, or the processes die whatever they are given.
        """
        waiting = iter(items)
        with ExitStack() as stack:
            lanes = [stack.enter_context(_Lane(share(order, self.workers))) for _ in range(self.workers)]
            while futures := [future for lane in lanes for future in lane.fill(waiting)]:
                wait(futures, return_when=FIRST_COMPLETED)
                for lane in lanes:
                    yield from lane.outcomes()


@dataclass(slots=True)
class _Job:
    item: Item
    future: "Future[Outcome]"
    tries: int = 1


class _Lane:
    """One process after the other, and the items that it has: the first is under way."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._jobs: deque[_Job] = deque()
        self._deaths = 0
        self._process: _Process | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.stop()

    def fill(self, items: Iterator[Item]) -> list["Future[Outcome]"]:
        """Take more items, if there are any and few here; what will come of those that are here."""
        while len(self._jobs) < _AHEAD and (item := next(items, None)) is not None:
            self._jobs.append(_Job(item, self._submit(item)))
        return [job.future for job in self._jobs]

    def outcomes(self) -> Iterator[Outcome]:
        """Those that are there by now; a process that died is replaced."""
        while self._jobs and self._jobs[0].future.done():
            try:
                outcome = self._jobs[0].future.result()
            except BrokenProcessPool:
                yield from self._replace()
            else:
                self._jobs.popleft()
                self._deaths = 0
                yield outcome

    def _submit(self, item: Item) -> "Future[Outcome]":
        if self._process is None:
            self._process = _Process(self._order)
        return self._process.submit(item)

    def _replace(self) -> Iterator[Outcome]:
        """A process died: its item is tried once more, or has failed; the others go to the next process."""
        if self._process:
            self._process.stop()
        self._process = None
        self._deaths += 1
        first = self._jobs[0]
        if self._deaths > _MOST_DEATHS:
            raise JobError(
                f"{self._deaths} processes in a row died, the last one with {first.item.key}.",
                "Look for the system's own kills (dmesg), give them more memory, or use fewer --workers.",
            )
        if first.tries == _TRIES:
            self._jobs.popleft()
            yield Outcome(first.item, error=f"The process that labeled it died, {_TRIES} times.")
        else:
            first.tries += 1
            logger.warning("The process that labeled %s died; it is tried once more.", first.item.key)
        for job in self._jobs:
            job.future = self._submit(job.item)


class _Process:
    """A pool of one, which ends when the pipe's end here is closed."""

    def __init__(self, order: Order) -> None:
        self._theirs, self._ours = _SPAWN.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(1, _SPAWN, _begin, (order, self._theirs))

    def submit(self, item: Item) -> "Future[Outcome]":
        """What will come of the item; BrokenProcessPool if the process dies first, or has."""
        try:
            with _unheard_interrupts():
                return self._pool.submit(_label, item)
        except BrokenProcessPool as error:
            failed: Future[Outcome] = Future()
            failed.set_exception(error)
            return failed

    def stop(self) -> None:
        """End it at once, whatever it does."""
        self._ours.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._theirs.close()


@contextmanager
def _unheard_interrupts() -> Iterator[None]:
    """Ctrl-C goes to all processes of a terminal; one that starts inside does not hear it, its parent tells it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_order: Order
_work: Callable[[Item], Outcome] | None = None


def _begin(order: Order, parent: Connection) -> None:
    """In the new process: what raises here would not be told."""
    global _order  # noqa: PLW0603 - what a pool's process knows, it knows by its globals
    _order = order
    logs.configure(log_level(order.settings))
    threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()


def _end_with(parent: Connection) -> None:
    parent.poll(None)  # nothing is ever sent: the other end was closed, or died
    os._exit(1)


def _label(item: Item) -> Outcome:
    global _work  # noqa: PLW0603 - as above
    if _work is None:
        from sam_backend.prelabel.worker import Worker  # heavy: before it, the process watches its parent

        worker = Worker(_order)
        worker.load()
        _work = worker.label
    return _work(item)
