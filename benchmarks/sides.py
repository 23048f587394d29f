"""Each side of a comparison in a process of its own, run in turn on the same inputs.

So neither profits from what the other has loaded, a machine whose speed drifts is as slow to both, and the peak of
memory is a side's own.
"""

import contextlib
import multiprocessing
import re
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PAUSE = 0.1
"""Seconds before each run: the other side's idle threads spin on for a while, and would take the cores."""


class SideError(Exception):
    """A side could not be made, or failed; the text is its own."""


@dataclass(frozen=True)
class Job:
    """What a side does.

    Attributes:
        run: timed.
        show: makes of its result what the other side's is compared with; not timed.
    """

    run: Callable[..., Any]
    show: Callable[[Any], Any]


@dataclass(frozen=True)
class Ran:
    """One run: seconds, what it said, and the process's peak of memory so far in MB."""

    seconds: float
    output: Any
    peak_mb: float


Made = tuple[str, Callable[..., Job], dict[str, Any]]
"""A side that is yet to be made: its name, what makes its job, and the options."""


class Side:
    """A side at work; `make(**options)` makes its job, in the other process."""

    def __init__(self, name: str, make: Callable[..., Job], **options: Any) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, options), daemon=True)
        self._process.start()
        theirs.close()
        self._hear()

    def run(self, *inputs: Any) -> Ran:
        """One run.

        Raises:
            SideError: it failed, or its process ended.
        """
        with contextlib.suppress(OSError):  # a process that ended is heard of below
            self._connection.send(inputs)
        ran = self._hear()
        assert isinstance(ran, Ran)
        return ran

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._connection.send(None)
        self._process.join(20)
        self._process.kill()

    def _hear(self) -> Ran | None:
        try:
            said = self._connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(20)
            raise SideError(f"{self.name}: the process ended with {self._process.exitcode}") from None
        if isinstance(said, str):
            raise SideError(f"{self.name}: {said}")
        return said if isinstance(said, Ran) else None


@contextlib.contextmanager
def sides(*made: Made) -> Iterator[list[Side]]:
    """Sides that work while inside, each of (name, make, options)."""
    with contextlib.ExitStack() as stack:
        found = []
        for name, make, options in made:
            side = Side(name, make, **options)
            stack.callback(side.close)
            found.append(side)
        yield found


def in_turn(
    both: Sequence[Side], inputs: Sequence[tuple[Any, ...]], *, warm: int = 1, seconds: float = 1e9, least: int = 3
) -> list[list[Ran]]:
    """Run all sides on each of the inputs, one after the other; a list of runs for each side.

    Args:
        both: the sides.
        inputs: of each round.
        warm: runs of each side on the first inputs that do not count.
        seconds: no round begins after them, but for the first `least`.
        least: rounds that always run.
    """
    for _ in range(warm):
        for side in both:
            side.run(*inputs[0])
    end = time.monotonic() + seconds
    runs: list[list[Ran]] = [[] for _ in both]
    for number, given in enumerate(inputs):
        if number >= least and time.monotonic() > end:
            break
        for side, ran in zip(both, runs, strict=True):
            time.sleep(PAUSE)
            ran.append(side.run(*given))
    return runs


def peaks(ours: Sequence[Ran], peer: Sequence[Ran]) -> dict[str, float]:
    """Both sides' peaks of memory in MB."""
    return {"ours": round(ours[-1].peak_mb), "peer": round(peer[-1].peak_mb)}


def times(runs: Sequence[Ran]) -> list[float]:
    """Their seconds."""
    return [ran.seconds for ran in runs]


def peak_mb(pid: int | str = "self") -> float:
    """A process's peak of memory in MB; 0 where the system does not say."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) / 1e3 if found else 0.0


def _serve(connection: Connection, make: Callable[..., Job], options: dict[str, Any]) -> None:
    try:
        job = make(**options)
        connection.send(None)
        while (inputs := connection.recv()) is not None:
            started = time.perf_counter()
            result = job.run(*inputs)
            seconds = time.perf_counter() - started
            connection.send(Ran(seconds, job.show(result), peak_mb()))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other process must hear of it
        last = traceback.extract_tb(error.__traceback__)[-1]
        connection.send(f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})")
