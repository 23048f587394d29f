"""Executors of this machine: this process, or several, each with a model of its own."""

import os
from collections.abc import Generator, Iterable
from dataclasses import replace

from sam_backend.prelabel.types import Executor, Item, Order, Outcome
from sam_backend.settings import Settings


def local_executor(workers: int) -> Executor:
    """An executor of so many processes; of one, this process itself."""
    if workers == 1:
        return in_this_process
    from sam_backend.prelabel.processes import Processes

    return Processes(workers)


def in_this_process(order: Order, items: Iterable[Item]) -> Generator[Outcome, None, None]:
    """Label one item after the other here."""
    from sam_backend.prelabel.worker import Worker

    worker = Worker(order)
    worker.load()
    for item in items:
        yield worker.label(item)


def cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def share(order: Order, workers: int) -> Order:
    """The order for one of so many workers on this machine: `SAM_INFERENCE_THREADS`, or its share of the cores."""
    if workers == 1 or order.settings.inference_threads:
        return order
    threads = max(1, cores() // workers)
    return replace(order, settings=order.settings.model_copy(update={"inference_threads": threads}))


def log_level(settings: Settings) -> str:
    """`SAM_LOG_LEVEL`, but lines that only inform stay out of the progress."""
    return "WARNING" if settings.log_level == "INFO" else settings.log_level
