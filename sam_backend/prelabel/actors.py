"""What runs on the nodes of a Ray cluster: the actors that label, and the one that counts what they begin."""

import pickle
from collections import Counter
from typing import Any

from sam_backend.errors import JobError
from sam_backend.prelabel.types import Item, Order, Outcome

_TRIES = 3
"""How often an item is begun: an actor can die of it, or with its node."""


class Labeler:
    """What an actor runs: a worker, with items and outcomes as Ray Data's rows.

    Args:
        order: what is asked for.
        tally: the run's `Tally`.
        most_deaths: with so many actors begun and nothing labeled since, it isn't the items.

    Raises:
        JobError: so many actors died.
        StartError: the model cannot be used.
    """

    def __init__(self, order: Order, tally: Any, most_deaths: int) -> None:
        from sam_backend.prelabel.worker import Worker

        self._tally = tally
        deaths = _ask(tally.begin_actor)
        if deaths > most_deaths:
            raise JobError(
                f"{deaths} actors in a row died, whatever they were given.", "Give each more memory or CPUs."
            )
        self._worker = Worker(order)
        self._worker.load()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """From `number` and a pickled `item` to `number` and a pickled `outcome`."""
        item: Item = pickle.loads(row["item"])  # noqa: S301 - our own driver made it
        if _ask(self._tally.begin, row["number"]) > _TRIES:
            outcome = Outcome(item, error=f"The actor that labeled it died, {_TRIES} times.")
        else:
            outcome = self._worker.label(item)
            self._tally.labeled.remote(row["number"])
        return {"number": row["number"], "outcome": pickle.dumps(outcome)}


class Tally:
    """Outlives the actors, and counts how often an item was begun: one that kills its actor would be so without end."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()
        self._actors = 0

    def begin(self, number: int) -> int:
        """An item is begun: how often it was, this time included."""
        self._begun[number] += 1
        return self._begun[number]

    def begin_actor(self) -> int:
        """An actor begins: how many did since something was labeled."""
        self._actors += 1
        return self._actors

    def labeled(self, number: int) -> None:
        """An item was labeled; should its outcome get lost, it is begun anew as often."""
        self._actors = 0
        del self._begun[number]


def _ask(method: Any, *arguments: Any) -> int:
    import ray

    answer: int = ray.get(method.remote(*arguments))
    return answer


def new_tally() -> Any:
    """A tally on this node: where that dies, all ends."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0)(Tally).options(scheduling_strategy=here).remote()
