"""Clicks go first: who works in the background waits for them now and then."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class RightOfWay:
    """Counts the clicks that are being answered."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one while inside."""
        with self._changed:
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until there is none, but no longer than that."""
        with self._changed:
            self._changed.wait_for(lambda: not self._count, seconds)
