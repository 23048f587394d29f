"""Executors of this machine: this process, or several, each with a model of its own."""

from collections.abc import Generator, Iterable

from sam_backend.prelabel.types import Executor, Item, Order, Outcome


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
