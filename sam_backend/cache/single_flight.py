"""Many ask for the same thing at once; one computes it, the others wait for that one."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SingleFlight(Generic[Key, Value]):
    """Joins simultaneous calls for equal keys."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight: dict[Key, Future[Value]] = {}

    def do(self, key: Key, compute: Callable[[], Value]) -> Value:
        """Return `compute()`, run once for all callers that are here with `key` at the same time.

        An exception of `compute` reaches every caller that waited; the next caller tries again.
        """
        with self._lock:
            future = self._in_flight.get(key)
            leader = future is None
            if future is None:
                future = self._in_flight[key] = Future()
        if leader:
            self._run(key, future, compute)
        return future.result()

    def _run(self, key: Key, future: "Future[Value]", compute: Callable[[], Value]) -> None:
        try:
            future.set_result(compute())
        except BaseException as error:  # noqa: BLE001 (those who wait must be told, whatever it was)
            future.set_exception(error)
        finally:
            # The result is set first: who comes after this line finds the value where `compute` left it.
            with self._lock:
                del self._in_flight[key]
