"""Tiers: memory, then the stores that outlive the process, the quickest first.

What is found further down is put into all that stand above. Memory is asked and filled in line; the stores are asked
in line and filled aside, so that nobody who waits for a value waits for a disk to take it. Where replicas share a
store, one of them has the lease to make a value, and the others find it there.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from sam_backend import metrics
from sam_backend.cache.aside import Aside
from sam_backend.cache.faults import Faults
from sam_backend.cache.memory import MemoryCache, Sized
from sam_backend.cache.single_flight import SingleFlight

Value = TypeVar("Value", bound=Sized)

_MOST_WAITING = 32  # values that wait to be written hold memory


class Store(Protocol[Value]):
    """A tier below memory. It never raises: what it cannot do is a miss."""

    name: str

    def get(self, key: str) -> Value | None:
        """The value, equal to what was put, or None."""

    def put(self, key: str, value: Value) -> None:
        """Keep the value if possible."""

    def is_there(self) -> bool:
        """Whether it takes and gives values now."""


class Lease(Protocol):
    """The right to make a value."""

    def release(self) -> None:
        """Let the next one have it; only the first call counts."""


class Tiers(Generic[Value]):
    """Values by key. Threads share it.

    Args:
        memory: the first tier.
        stores: those below.
        lease: waits for the right to make a key's value, while another replica may make it; None: go on without.
    """

    def __init__(
        self,
        memory: MemoryCache[str, Value],
        stores: Sequence[Store[Value]] = (),
        lease: Callable[[str], Lease | None] = lambda _: None,
    ) -> None:
        self._memory = memory
        self._stores = tuple(stores)
        self._lease = lease
        self._flights: SingleFlight[str, Value] = SingleFlight()
        self._aside = Aside("cache", _MOST_WAITING)
        self._faults = {store.name: Faults(store.name) for store in stores}

    def get(self, key: str, make: Callable[[], Value]) -> Value:
        """The value from the first tier that has it, or from `make`, once however many ask at the same time."""
        value = self._memory.get(key)
        metrics.count_cache(hit=value is not None)
        if value is not None:
            return value
        return self._flights.do(key, lambda: self._find(key, make))

    def is_stored(self, key: str) -> bool:
        """Whether a tier that outlives this process has the value, whole; memory stays as it is."""
        return any(store.get(key) is not None for store in self._stores)

    def reachable(self) -> dict[str, bool]:
        """By the stores' names, whether they take and give values now."""
        return {store.name: store.is_there() for store in self._stores}

    def flush(self) -> None:
        """Wait until each store was given what was found or made so far."""
        self._aside.flush()

    def _find(self, key: str, make: Callable[[], Value]) -> Value:
        # Between this caller's miss and its flight another flight may have landed: look once more.
        landed = self._memory.get(key)
        if landed is not None:
            return landed
        for index, store in enumerate(self._stores):
            with metrics.stage(store.name):
                value = store.get(key)
            metrics.count_cache(hit=value is not None, tier=store.name)
            if value is not None:
                return self._put(key, value, self._stores[:index])
        return self._make(key, make)

    def _make(self, key: str, make: Callable[[], Value]) -> Value:
        with metrics.stage("lease"):
            lease = self._lease(key)
        if lease is None:
            return self._put(key, make(), self._stores)
        try:
            found = next((value for store in self._stores if (value := store.get(key)) is not None), None)
            value = self._put(key, make() if found is None else found, self._stores)
        except BaseException:
            lease.release()
            raise
        if not self._aside.add(lease.release):  # after the stores have taken the value
            lease.release()
        return value

    def _put(self, key: str, value: Value, stores: Sequence[Store[Value]]) -> Value:
        self._memory.put(key, value)
        for store in stores:
            if not self._aside.add(functools.partial(store.put, key, value)):
                self._faults[store.name].note("dropped", f"{_MOST_WAITING} values wait to be written already")
        return value
