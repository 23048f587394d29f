"""Executor: the nodes of a Ray cluster, with Ray Data. Actors hold the model and compute; this process alone writes.

The items go in windows, each a dataset of one item a block: what is lost with a node is computed anew, what is done
comes out at once, and what this process holds does not grow with the run. An item may be computed twice; it is its
number in the window that lets one outcome of it through, and that shows which items got none.
"""

import logging
import pickle
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sam_backend.errors import JobError
from sam_backend.prelabel import cluster
from sam_backend.prelabel.actors import Labeler, new_tally
from sam_backend.prelabel.types import Executor, Item, Order, Outcome

logger = logging.getLogger(__name__)

_WINDOW = 5000
_WINDOW_OF_AN_ACTOR = 100
"""A window ends with actors that wait for the last ones, and the next begins with loading the model."""
_CPUS = 2
_AHEAD = 2
"""Items that an actor has: one under way, and the next, so that it needn't wait for it."""
_MOST_LOST = 50
"""For each actor, so many items of a pass may get no outcome: another pass has them."""
_PATIENCE = 6 * 3600.0
"""Seconds without any outcome, after which the run ends: an image can take long, a cluster can be busy."""


def ray_executor(address: str, workers: int = 0) -> Executor:
    """An executor on a cluster: `local`, `auto`, or the head node's HOST:PORT.

    Args:
        address: where the cluster is.
        workers: most actors; 0: as many as its CPUs allow, those of nodes that join later included.
    """
    return OnRay(address, workers)


@dataclass(frozen=True, slots=True)
class OnRay:
    """The executor of a Ray cluster; an actor has as many CPUs as `SAM_INFERENCE_THREADS` says, or 2.

    Attributes:
        address: as `ray_executor` has it.
        workers: the same.
        window: items in one dataset; 0: 5000, or 100 for each actor if that is more.
    """

    address: str
    workers: int = 0
    window: int = 0

    def __call__(self, order: Order, items: Iterable[Item]) -> Generator[Outcome, None, None]:
        """Label the items on the cluster. An item that kills its actor at each try has failed.

        Raises:
            JobError: Ray is not installed, or the cluster cannot be used, or not any more.
            StartError: the model cannot be used.
        """
        order = _with_whole_paths(order)
        with cluster.connected(self.address):
            found = cluster.nodes()
            cluster.check(order, found)
            crew = _Crew.of(order, found, self.workers)
            waiting = iter(items)
            while window := list(islice(waiting, self.window or crew.window)):
                yield from _exactly_once(crew, window)


def _with_whole_paths(order: Order) -> Order:
    """The order for processes that run in other folders."""
    settings = order.settings
    paths = {
        "model_dir": settings.model_dir.absolute(),
        "cache_dir": settings.cache_dir and settings.cache_dir.absolute(),
    }
    return replace(
        order, settings=settings.model_copy(update=paths), preview=order.preview and order.preview.absolute()
    )


@dataclass(frozen=True, slots=True)
class _Crew:
    """The actors.

    Attributes:
        size: how many to begin with.
        most: how many there may be; None: as many as find room.
        cpus: of each; no more than the smallest node has.
        order: what they are told.
    """

    size: int
    most: int | None
    cpus: int
    order: Order

    @classmethod
    def of(cls, order: Order, found: list[cluster.Node], workers: int) -> "_Crew":
        cpus = min(order.settings.inference_threads or _CPUS, *(node.cpus for node in found))
        room = sum(node.cpus // cpus for node in found)
        settings = order.settings.model_copy(update={"inference_threads": cpus})
        return cls(min(workers or room, room), workers or None, cpus, replace(order, settings=settings))

    @property
    def window(self) -> int:
        return max(_WINDOW, _WINDOW_OF_AN_ACTOR * self.size)


def _exactly_once(crew: _Crew, window: list[Item]) -> Iterator[Outcome]:
    """One outcome for each item, in passes until all have theirs: what is lost is computed anew.

    Raises:
        JobError: the cluster cannot go on, and nothing came of a pass.
    """
    pending, known = dict(enumerate(window)), len(window) + 1
    tally = new_tally()
    while pending and len(pending) < known:
        known = len(pending)
        try:
            for number, outcome in _outcomes(crew, tally, dict(pending)):
                if item := pending.pop(number, None):
                    yield replace(outcome, item=item)
        except JobError as error:
            if len(pending) == known:
                raise
            logger.warning("%s %d items are tried again.", error.message, len(pending))
    for item in pending.values():
        yield Outcome(item, error="The cluster lost it.")


def _outcomes(crew: _Crew, tally: Any, items: dict[int, Item]) -> Iterator[tuple[int, Outcome]]:
    """What comes of a pass, as it comes: of an item one outcome, in theory none, or several.

    Raises:
        JobError: Ray Data gave up.
    """
    dataset = _dataset(crew, tally, items)
    try:
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            for row in batch.to_pylist():
                yield row["number"], pickle.loads(row["outcome"])  # noqa: S301 - our own actor made it
    except Exception as error:  # Ray Data raises what it likes
        raise JobError(
            f"The Ray cluster cannot go on: {_reason(error)}", "The same command goes on from here."
        ) from error


def _reason(error: Exception) -> str:
    """The last line of what Ray says, which quotes tracebacks: what went wrong, not where."""
    lines = str(error).strip().splitlines()
    return " ".join(lines[-1].split())[:500] if lines else type(error).__name__


def _dataset(crew: _Crew, tally: Any, items: dict[int, Item]) -> Any:
    import ray.data

    _configure(ray.data.DataContext.get_current(), _MOST_LOST * crew.size)
    rows = [{"number": number, "item": _packed(item)} for number, item in items.items()]
    pool = ray.data.ActorPoolStrategy(
        min_size=1,
        initial_size=min(crew.size, len(rows)),
        max_size=crew.most,
        max_tasks_in_flight_per_actor=_AHEAD,
    )
    return ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        Labeler,
        fn_constructor_args=(crew.order, tally, 5 + 3 * crew.size),
        compute=pool,
        num_cpus=crew.cpus,
    )


def _packed(item: Item) -> bytes:
    return pickle.dumps(replace(item, path=item.path and item.path.absolute()))


def _configure(context: Any, most_lost: int) -> None:
    """Ray Data's own settings, which it hands to the actors."""
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = False
    context.max_errored_blocks = most_lost
    context.max_consecutive_actor_init_deaths = 3
    context.execution_no_progress_timeout_s = _PATIENCE
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0
