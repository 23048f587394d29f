"""How far a run is: a bar on a terminal, elsewhere a line now and then."""

import sys
import time
from typing import Protocol, TextIO

from tqdm import tqdm

_LINE_SECONDS = 30.0
_BAR = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
_LINE = "{n_fmt} of {total_fmt}, {rate_fmt}, {remaining} left{postfix}"


class Progress(Protocol):
    """Counts items."""

    def skip(self) -> None:
        """An item was done before."""

    def step(self, failed: int) -> None:
        """An item is done; so many have failed by now."""

    def close(self) -> None:
        """Show where it ended."""


def progress(total: int, file: TextIO | None = None) -> Progress:
    """What shows `total` items, those that were done before included, on `file` or standard error."""
    file = file or sys.stderr
    return _Bar(total, file) if file.isatty() else _Lines(total, file)


class _Bar:
    def __init__(self, total: int, file: TextIO) -> None:
        self._bar = tqdm(total=total, file=file, unit="image", bar_format=_BAR, dynamic_ncols=True, smoothing=0)

    def skip(self) -> None:
        self._bar.initial += 1  # it has no part in the rate
        self._bar.update()

    def step(self, failed: int) -> None:
        if failed:
            self._bar.set_postfix_str(f"{failed} failed", refresh=False)
        self._bar.update()

    def close(self) -> None:
        self._bar.close()


class _Lines:
    def __init__(self, total: int, file: TextIO) -> None:
        self._total = total
        self._file = file
        self._began = self._said = time.monotonic()
        self._skipped = self._count = self._failed = 0

    def skip(self) -> None:
        self._skipped += 1
        self._count += 1

    def step(self, failed: int) -> None:
        self._count += 1
        self._failed = failed
        if time.monotonic() - self._said > _LINE_SECONDS:
            self._say()

    def close(self) -> None:
        self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        line = tqdm.format_meter(
            self._count,
            self._total,
            self._said - self._began,
            unit="image",
            bar_format=_LINE,
            postfix=f"{self._failed} failed",
            initial=self._skipped,
        )
        self._file.write(f"{line}\n")
        self._file.flush()
