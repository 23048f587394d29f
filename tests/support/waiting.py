"""Wait for what other threads do."""

import time
from collections.abc import Callable


def until(happened: Callable[[], bool], seconds: float = 30) -> None:
    """Return as soon as it has happened; fail when it takes longer than that."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)
