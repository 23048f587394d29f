"""One line per event, with the request's id; never a token, a request body or an image.

Label Studio shows an annotator nothing of an error in a click, so the log is where its cause and remedy are found.
"""

import contextvars
import logging
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TextIO

from sam_backend.errors import SamBackendError

_LONGEST = 2000


@dataclass(slots=True)
class Trace:
    """What one request has done so far.

    Attributes:
        request_id: stands in each of the request's log lines and in its answer's `X-Request-ID`.
        subject: the project and task, or the event, that it is about.
        stages: seconds spent in each stage, by name, in the order of first use.
    """

    request_id: str = field(default_factory=lambda: secrets.token_hex(6))
    subject: str = "-"
    stages: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, seconds: float) -> None:
        """Note seconds spent in a stage; a stage that is entered twice adds up."""
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds


_current: contextvars.ContextVar[Trace | None] = contextvars.ContextVar("trace", default=None)


def current() -> Trace | None:
    """The trace of the request that this thread answers, if it answers one."""
    return _current.get()


@contextmanager
def traced() -> Iterator[Trace]:
    """Give everything that happens inside one request id."""
    trace = Trace()
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send all log lines of the process to standard error, or this stream, one line each."""
    logging.basicConfig(level=level, handlers=[handler(stream or sys.stderr)], force=True)
    # At DEBUG it prints addresses, and an address can carry a signature that opens the image.
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    # No line shows where it was written, so nobody looks for it; logging's documentation has no other way to say so.
    logging._srcfile = None  # noqa: SLF001


def handler(stream: TextIO) -> logging.Handler:
    """A handler that writes one line per event, with the request's id."""
    made = logging.StreamHandler(stream)
    made.setFormatter(_OneLine())
    return made


def describe(error: SamBackendError) -> str:
    """A named error as one line: name, what was wrong, what to do next."""
    return f"{type(error).__name__}: {error}"


def stages(trace: Trace) -> str:
    """A trace's stages as `fetch=3.1ms decode=12.0ms`, or `-`."""
    return " ".join(f"{name}={seconds * 1000:.1f}ms" for name, seconds in trace.stages.items()) or "-"


class _OneLine(logging.Formatter):
    """Written out rather than by logging's templates: it runs once for each click, with nothing in the CPU's caches."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).isoformat(" ", "milliseconds")  # noqa: DTZ006 - the operator's clock
        trace = current()
        # A message can quote what a stranger sent; a line break in it must not begin a forged line.
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")[:_LONGEST]
        line = f"{at} {record.levelname} {record.name} [{trace.request_id if trace else '-'}] {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
