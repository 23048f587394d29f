"""Shows which stage runs and for how long, so that a silent minute does not look like a hang."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

TICK = 1.0


class Steps:
    """Numbers the stages: `[2/6] tracing the encoder … 12 s`, counting up on a terminal, one line each elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0

    @contextlib.contextmanager
    def __call__(self, title: str) -> Iterator[None]:
        """Around one stage."""
        self._done += 1
        label = f"[{self._done}/{self._total}] {title} …"
        start, finished = time.monotonic(), threading.Event()
        ticker = threading.Thread(target=_tick, args=(label, start, finished), daemon=True)
        ticker.start()
        try:
            yield
        except BaseException:
            _end(ticker, finished, f"{label} stopped")
            raise
        _end(ticker, finished, f"{label} {time.monotonic() - start:.1f} s")


def _tick(label: str, start: float, finished: threading.Event) -> None:
    if not sys.stderr.isatty():
        return
    while not finished.wait(TICK):
        print(f"\r{label} {time.monotonic() - start:.0f} s", end="", file=sys.stderr, flush=True)


def _end(ticker: threading.Thread, finished: threading.Event, line: str) -> None:
    finished.set()
    ticker.join()
    print(f"\r{line}" if sys.stderr.isatty() else line, file=sys.stderr, flush=True)
