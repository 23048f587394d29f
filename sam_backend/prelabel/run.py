"""A bulk job, start to end: source → executor → sink, with what is done left out and what failed told at the end."""

import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from sam_backend.errors import RefusedError
from sam_backend.prelabel.progress import Progress, progress
from sam_backend.prelabel.types import Executor, Item, Order, Outcome, Sink, Source

STOPPED = 130
"""The exit code after Ctrl-C, as shells have it."""
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Job:
    """All that a run needs.

    Attributes:
        source: the items.
        executor: who labels them.
        sink: who keeps what comes of them.
        order: what the workers are told.
        limit: label this many at most; 0: all.
        report: the file that lists what failed, a line for each; None: none.
    """

    source: Source
    executor: Executor
    sink: Sink
    order: Order
    limit: int = 0
    report: Path | None = None


def run(job: Job) -> int:
    """Label what is not done yet.

    Returns:
        The exit code: 0 when all went well, 1 when some failed, 130 when it was stopped (Ctrl-C, SIGTERM).

    Raises:
        SamBackendError: the job cannot go on; what is done is kept.
    """
    account = _Account(job.report, "warmed" if job.order.embed_only else "labeled")
    with closing(job.sink):
        try:
            with _stoppable():
                _label(job, account)
                written = job.sink.finish(complete=account.is_complete)
        except KeyboardInterrupt:
            click.echo(f"Stopped. {account.in_words()} The same command goes on from here.", err=True)
            return STOPPED
    account.tell()
    click.echo(f"{account.in_words()} {written}")
    return 1 if account.failed else 0


def _label(job: Job, account: "_Account") -> None:
    total = min(len(job.source), job.limit) if job.limit else len(job.source)
    with closing(progress(total)) as shown:
        items = _waiting(job, account, shown)
        with closing(job.executor(job.order, items)) as outcomes:
            for outcome in outcomes:
                account.note(_kept(job.sink, outcome))
                shown.step(account.failed)


def _kept(sink: Sink, outcome: Outcome) -> Outcome:
    """Keep an outcome; one that the sink refuses has failed."""
    if outcome.error:
        return outcome
    try:
        sink.add(outcome)
    except RefusedError as error:
        return replace(outcome, error=str(error))
    return outcome


def _waiting(job: Job, account: "_Account", shown: Progress) -> Iterator[Item]:
    """The items that are not done, up to the limit."""
    given = 0
    for item in job.source:
        if job.sink.is_done(item.key):
            account.done_before += 1
            if not job.limit:
                shown.skip()
        elif job.limit and given == job.limit:
            account.cut = True
            return
        else:
            given += 1
            yield item


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM stops as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(slots=True)
class _Account:
    """What came of the items; of what failed, all is in the report and the first few are here."""

    report: Path | None
    verb: str
    done_before: int = 0
    labeled: int = 0
    regions: int = 0
    left_out: int = 0
    failed: int = 0
    cut: bool = False
    reasons: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return not self.failed and not self.cut

    def note(self, outcome: Outcome) -> None:
        if outcome.error:
            self._note_failure(f"{outcome.item.key}: {outcome.error}")
            return
        self.labeled += 1
        self.regions += outcome.regions
        self.left_out += outcome.left_out

    def tell(self) -> None:
        """The failures, on standard error."""
        if self.report and not self.failed:
            self.report.unlink(missing_ok=True)  # an earlier run's
        for reason in self.reasons:
            click.echo(f"failed: {reason}", err=True)
        if self.failed > len(self.reasons):
            more = f" {self.report} lists all." if self.report else ""
            click.echo(f"failed: {self.failed - len(self.reasons)} more.{more}", err=True)

    def in_words(self) -> str:
        before = f" ({self.done_before} before)" if self.done_before else ""
        failed = f" {self.failed} failed; the same command tries them again." if self.failed else ""
        left_out = f", {self.left_out} masks left out by the caps" if self.left_out else ""
        regions = f", {self.regions} regions{left_out}" if self.verb == "labeled" else ""
        return f"{self.labeled} {self.verb}{before}{regions}.{failed}"

    def _note_failure(self, reason: str) -> None:
        self.failed += 1
        if len(self.reasons) < _SHOWN:
            self.reasons.append(reason)
        if self.report:
            with self.report.open("w" if self.failed == 1 else "a", encoding="utf-8") as file:
                file.write(f"{reason}\n")
