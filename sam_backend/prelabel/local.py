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
    """Label one item after the other here; the next one's images are fetched meanwhile."""
    from sam_backend.prelabel.worker import Ahead, Worker

    worker = Worker(order)
    worker.load()
    waiting = iter(items)
    item, images = next(waiting, None), Ahead()
    while item is not None:
        following = next(waiting, None)
        ahead = worker.look_ahead(following) if following else Ahead()
        yield worker.label(item, images)
        item, images = following, ahead
