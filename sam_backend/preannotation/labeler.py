"""Automatic mode in the interface: what is ready in time is answered, the rest is labeled in the background.

    tasks ─▶ look-ups (fetch, digest: a few threads) ─ not on the shelf ─▶ labels (one thread) ─▶ shelf

An address is no content: the image behind it is fetched each time, with the asker's own token, and what it shows
decides which prediction it is given. Both stages do the newest request first and, within it, the tasks in their order.
"""

import functools
import hashlib
import itertools
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import orjson

from sam_backend import metrics
from sam_backend.cache.shelf import Shelf
from sam_backend.labelstudio.addresses import Connection
from sam_backend.pictures import Picture, Pictures
from sam_backend.preannotation import labeling
from sam_backend.preannotation.backlog import Backlog, Job, LetGoError
from sam_backend.preannotation.plan import Plan
from sam_backend.preannotation.right_of_way import RightOfWay
from sam_backend.preannotation.spots import Spot
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings
from sam_backend.warmer import step_back

logger = logging.getLogger(__name__)

LOOKUPS = 4
"""Images that are fetched at once."""

MOST_ANSWERED = 64 * 1024**2
"""Bytes of predictions in one answer: Label Studio reads it whole into memory, and saves it before it says anything."""

_HELD = 128 * 1024**2
_YIELD_SECONDS = 1.0
_CLOSING_SECONDS = 0.5

Files = Mapping[str, bytes]
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task that somebody wants labeled.

    Attributes:
        spots: what of it.
        plan: how.
        connection: the Label Studio that asks.
        task_id: the task's.
    """

    spots: tuple[Spot, ...]
    plan: Plan
    connection: Connection
    task_id: int | str | None


@dataclass(frozen=True, slots=True)
class Finished:
    """A prediction as JSON, and what it is kept under."""

    key: str
    body: bytes


Label = Job[str, Finished]
Look = Job[Wanted, Finished | Label]


class Labeler:
    """Labels tasks. Threads share it; its own start with the first task."""

    def __init__(self, segmenter: Segmenter, pictures: Pictures, settings: Settings) -> None:
        self._segmenter = segmenter
        self._pictures = pictures
        self._shelf: Shelf[str] = Shelf(settings.automatic_cache)
        most = settings.automatic_queue
        self._looks: Backlog[Wanted, Finished | Label] = Backlog("look-up", LOOKUPS, most, join_running=False)
        self._labels: Backlog[str, Finished] = Backlog("labeler", 1, most, join_running=True, begin=step_back)
        self._held = _Budget(_HELD)
        self._clicks = RightOfWay()
        self._requests = itertools.count()
        self._closed = threading.Event()
        self._said_full = False

    def label(self, tasks: Sequence[Wanted | None], seconds: float) -> list[bytes | None]:
        """Label tasks, or go on with it in the background.

        Args:
            tasks: in the order in which they are to be labeled; None stays None.
            seconds: after which it returns.

        Returns:
            For each task its prediction as JSON, or None where it is not ready, failed, or was too much for one answer.
        """
        end = time.monotonic() + seconds
        number = next(self._requests)
        jobs: list[Look] = [Job(one, self._look, (-number, rank), end) for rank, one in enumerate(tasks) if one]
        looks = iter(self._looks.add(jobs))
        self._count()
        bodies = list(self._bounded([self._outcome(next(looks), end) if one else None for one in tasks]))
        if len(jobs) > 1:
            logger.info("%d of %d tasks are labeled.", sum(map(bool, bodies)), len(jobs))
        return bodies

    def click(self) -> AbstractContextManager[None]:
        """While inside, the background holds back."""
        return self._clicks.one()

    def close(self, timeout: float = 5.0) -> None:
        """Answer who waits with what is ready, forget what waits, and let the task under way end."""
        self._closed.set()
        self._looks.close()
        self._labels.close()
        self._labels.join(timeout)

    def _outcome(self, look: Look, end: float) -> Finished | None:
        """What came of it in time. A failure is no outcome, and has been logged."""
        try:
            found = self._result(look.future, end)
            return found if isinstance(found, Finished) else self._result(found.future, end)
        except Exception:  # noqa: BLE001 - as this method's first line says
            return None

    def _result(self, future: "Future[Value]", end: float) -> Value:
        """What it is until then, or until the service stops, be it a slow image's look-up that is waited for."""
        while not future.done() and not self._closed.is_set() and (left := end - time.monotonic()) > 0:
            wait([future], min(left, _CLOSING_SECONDS))
        return future.result(0)

    def _bounded(self, outcomes: Sequence[Finished | None]) -> Iterator[bytes | None]:
        """The predictions, as many as may be in one answer."""
        total = 0
        for one in outcomes:
            total += len(one.body) if one else 0
            if one is None or (total > MOST_ANSWERED and total > len(one.body)):
                yield None
                continue
            self._shelf.ask(one.key)
            yield one.body

    def _look(self, job: Look) -> Finished | Label:
        """The prediction, or the job that makes it."""
        self._count()
        wanted = job.key
        files = self._fetch(wanted)
        key = self._key(wanted, files)
        body = self._shelf.get(key)
        metrics.count_cache(hit=body is not None, cache="predictions")
        if body is not None:
            return Finished(key, body)
        size = sum(map(len, files.values()))
        held = files if self._held.take(size) else None
        label: Label = Job(key, functools.partial(self._label, wanted, held), job.rank, job.until)
        if held is not None:
            label.future.add_done_callback(lambda _: self._held.give(size))
        added = self._labels.add([label])[0]
        if added is not label:
            label.future.cancel()
        self._count()
        return added

    def _label(self, wanted: Wanted, held: Files | None, job: Label) -> Finished:
        self._count()
        body = self._shelf.get(job.key) or self._body(wanted, held, job)
        return Finished(job.key, body)

    def _body(self, wanted: Wanted, held: Files | None, job: Label) -> bytes:
        self._make_sure_of_room(job)
        files = self._fetch(wanted) if held is None else held
        if held is None and self._key(wanted, files) != job.key:
            raise LetGoError("The image has changed since it was looked up.")
        started = time.monotonic()
        self._proceed()
        with metrics.stage("automatic"):
            found = labeling.label(
                self._segmenter, lambda url: self._pictures.decode(files[url]), wanted.spots, wanted.plan, self._proceed
            )
            body = orjson.dumps(found.prediction)
        self._shelf.put(job.key, body)
        metrics.count_labeled()
        logger.info("Task %s: %d regions in %.1fs.", wanted.task_id, found.regions, time.monotonic() - started)
        return body

    def _make_sure_of_room(self, job: Label) -> None:
        """Do nothing for the shelf alone when it is full: it would push out what the next request asks for."""
        if not self._shelf.is_full or job.is_awaited:
            self._said_full = False
            return
        if not self._said_full:
            self._said_full = True
            logger.warning("SAM_AUTOMATIC_CACHE is full of predictions to be retrieved; no more are made until then.")
        raise LetGoError

    def _fetch(self, wanted: Wanted) -> Files:
        urls = dict.fromkeys(spot.url for spot in wanted.spots)
        return {url: self._pictures.fetch(Picture(url, wanted.connection, wanted.task_id)) for url in urls}

    def _key(self, wanted: Wanted, files: Files) -> str:
        """A digest of all that decides the prediction: the version, the images, where they are, the boxes on them."""
        state = hashlib.sha256(wanted.plan.version(self._segmenter.model_version).encode())
        for spot in wanted.spots:
            state.update(hashlib.sha256(files[spot.url]).digest())
            state.update(f"{spot.to_name!r} {spot.item_index!r} {spot.boxes!r}".encode())
        return state.hexdigest()

    def _proceed(self) -> None:
        """Let clicks go first."""
        self._clicks.wait(_YIELD_SECONDS)
        if self._closed.is_set():
            raise LetGoError("The service stops.")

    def _count(self) -> None:
        metrics.AUTOMATIC_QUEUE.set(len(self._looks) + len(self._labels))


class _Budget:
    """Bytes that may be held in all."""

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._left = most

    def take(self, size: int) -> bool:
        with self._lock:
            fits = size <= self._left
            self._left -= size if fits else 0
            return fits

    def give(self, size: int) -> None:
        with self._lock:
            self._left += size
