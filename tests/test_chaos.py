"""Bad days: replicas die, Redis dies, the disk is full, Label Studio is gone. It all comes back by itself."""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from tests.support.annotators import (
    SECONDS,
    Body,
    NoAnswerError,
    Regions,
    Sitting,
    Tally,
    alone,
    draw,
    play,
    sittings,
)
from tests.support.balancer import balancing
from tests.support.fleet import Fleet, supervised, victims
from tests.support.image_host import TOKEN, ImageHost, image_host
from tests.support.recordings import answered
from tests.support.redis_server import RedisServer, serving
from tests.support.service import Service, running
from tests.support.waiting import until

PROJECT = "1.1795178706"
# Their answers depend on nothing but the request, not on what was asked before: no fault takes anything from them.
KINDS = ("clicks", "rectangle", "correct")
ALL_KINDS = (*KINDS, "join", "two labels")
ANNOTATORS = 6
WITHOUT_IMAGES = ("ImageUnavailableError", "ImageTimeoutError")
EMBEDDING_BYTES = 100_000
"""Fewer than an embedding has, and more than anything else."""
MARGIN = 2.0
"""Seconds after Label Studio came back in which an answer may still say that it was gone."""

Span = tuple[float, float]


@dataclass(frozen=True)
class Figures:
    """What happens when; seconds from the start.

    Attributes:
        kill_every: seconds from one replica's death to the next, or longer: it has to come back before.
        balanced: whether a balancer stands before the replicas; else clients ask the next one themselves.
    """

    replicas: int
    images: int
    seconds: float
    kill_every: float
    balanced: bool
    kinds: Sequence[str] = KINDS
    redis_gone: Span | None = None
    studio_gone: Span | None = None
    disk_full: Span | None = None


SHORT = Figures(2, 8, 10, 4, balanced=False, redis_gone=(0.5, 2.5), studio_gone=(3, 5), disk_full=(5.5, 8.5))
LONG = Figures(3, 60, 180, 20, balanced=True, redis_gone=(22, 38), studio_gone=(50, 110), disk_full=(122, 138))
KILLED = Figures(3, 30, 90, 6, balanced=True, kinds=ALL_KINDS)


@pytest.fixture
def host() -> Iterator[ImageHost]:
    with image_host() as running_host:
        yield running_host


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with serving(tmp_path) as server:
        yield server


@pytest.mark.parametrize(
    "figures",
    [SHORT, pytest.param(LONG, marks=pytest.mark.soak), pytest.param(KILLED, marks=pytest.mark.soak)],
    ids=["short", "long", "killed"],
)
def test_all_is_answered_right_or_with_a_named_error_and_comes_back_by_itself(
    host: ImageHost, redis: RedisServer, tmp_path: Path, figures: Figures
) -> None:
    pictures = draw(host, figures.images)
    about = {"LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN, "SAM_CROP_BELOW": "0", "SAM_IMAGE_FRESH": "5"}
    with running(tmp_path, **about) as service:
        expected = alone(service.url, PROJECT, sittings(pictures, 1, figures.kinds))

    about |= {"SAM_CACHE_DIR": str(tmp_path / "cache"), "SAM_REDIS_URL": redis.url, "SAM_WARM_QUEUE": "0"}
    with ExitStack() as stack:
        fleet = stack.enter_context(supervised(tmp_path, figures.replicas, **about))
        urls = [stack.enter_context(balancing(tmp_path, fleet.urls))] if figures.balanced else fleet.urls
        crowd = Crowd(urls, expected, host)
        crowd.work_while(figures.seconds, lambda: live(figures, fleet, redis, host))
        print(f"\n{dict(crowd.tally.counts)}; {fleet.starts} starts of {figures.replicas} replicas.")
        print(f"Wrong: {len(crowd.tally.wrong)}; errors: {len(crowd.tally.errors)} {crowd.tally.errors[:5]}")
        assert (crowd.tally.wrong, crowd.tally.errors) == ([], [])

        fleet.kill_all()
        stored = entries(tmp_path / "cache", redis)
        fleet.wait()
        until(lambda: all(requests.get(f"{url}/ready", timeout=30).ok for url in urls))
        crowd.work_through()
        assert (crowd.tally.wrong, crowd.tally.errors) == ([], [])
        check_cache(fleet.services, figures.images, stored)
        until(lambda: len(entries(tmp_path / "cache", redis)) == figures.images)


@dataclass
class Crowd:
    """Annotators who ask whichever replica answers.

    Attributes:
        urls: where they ask; the next one where a connection fails.
        expected: the serial answers.
        host: Label Studio.
        tally: what became of it all.
    """

    urls: Sequence[str]
    expected: dict[Sitting, list[bytes]]
    host: ImageHost
    tally: Tally = field(default_factory=Tally)
    _tasks: Iterator[int] = field(default_factory=itertools.count)

    def work_while(self, seconds: float, happening: Callable[[], None]) -> None:
        """Label for as long as something happens: in these seconds one image comes after the other, and old ones again.

        What goes wrong meets images that nobody has seen yet.
        """
        over, start, all_of_them = threading.Event(), time.monotonic(), list(self.expected)

        def work(seed: int) -> None:
            dice = random.Random(seed)
            while not over.is_set():
                known = 1 + int(len(all_of_them) * min(1.0, (time.monotonic() - start) / seconds))
                oldest = dice.choice([0, max(0, known - len(KINDS))])
                self._sit(dice.choice(all_of_them[oldest:known]))
                over.wait(dice.uniform(0, 0.2))

        with ThreadPoolExecutor(ANNOTATORS) as pool:
            done = [pool.submit(work, seed) for seed in range(ANNOTATORS)]
            try:
                happening()
            finally:
                over.set()
            for one in done:
                one.result()

    def work_through(self) -> None:
        """Label everything once."""
        with ThreadPoolExecutor(ANNOTATORS) as pool:
            list(pool.map(self._sit, self.expected))

    def _sit(self, sitting: Sitting) -> None:
        with suppress(NoAnswerError):
            for step, answer in enumerate(play(sitting, self._ask, PROJECT, next(self._tasks))):
                self.tally.compare(sitting, step, answer, self.expected[sitting][step])

    def _ask(self, body: Body) -> Regions:
        began = time.monotonic()
        answer = self._post(body)
        if answer is not None and answer.status_code == 200:
            return answered(answer)
        said = f"{answer.status_code} {answer.text[:300]}" if answer is not None else "no answer"
        name = _name(answer)
        self.tally.count(name or said[:40])
        if name not in WITHOUT_IMAGES or not (self.host.is_gone or began < self.host.back_at + MARGIN):
            self.tally.errors.append(said)
        raise NoAnswerError

    def _post(self, body: Body) -> requests.Response | None:
        """The first answer of a replica."""
        for url in random.sample(self.urls, len(self.urls)):
            try:
                return requests.post(f"{url}/predict", json=body, timeout=SECONDS)
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                self.tally.count("connection lost")
        return None


def _name(answer: requests.Response | None) -> str:
    """The error's name, where it is one of ours with its remedy."""
    try:
        error = answer.json() if answer is not None else {}
    except requests.JSONDecodeError:
        return ""
    return str(error["error"]) if error.get("remedy") else ""


def live(figures: Figures, fleet: Fleet, redis: RedisServer, host: ImageHost) -> None:
    """Let it all happen, in time, while one replica after the other dies."""

    def redis_again() -> None:
        noticed(fleet, 'sam_cache_faults_total{fault="read",tier="redis"}')
        redis.start()

    def studio_again() -> None:
        noticed(fleet, 'sam_errors_total{error="ImageUnavailableError"}')
        host.start()

    def disk_again() -> None:
        noticed(fleet, 'sam_cache_faults_total{fault="write",tier="disk"}')
        fleet.empty_disk()

    events: list[tuple[float, Callable[[], None]]] = [
        *zip(figures.redis_gone or (), (redis.kill, redis_again), strict=False),
        *zip(figures.studio_gone or (), (host.stop, studio_again), strict=False),
        *zip(figures.disk_full or (), (fleet.fill_disk, disk_again), strict=False),
        (figures.seconds, lambda: None),
    ]
    start = time.monotonic()
    with dying(fleet, figures.kill_every):
        for at, happen in sorted(events, key=lambda event: event[0]):
            time.sleep(max(0.0, start + at - time.monotonic()))
            happen()


@contextmanager
def dying(fleet: Fleet, every: float) -> Iterator[None]:
    """Kill a replica so often, but none before the last one has come back; in the end all are back."""
    over = threading.Event()

    def kill() -> None:
        for index, what in victims(len(fleet.services)):
            fleet.kill(index, what)
            if over.wait(every):
                break
            fleet.wait()

    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(kill)
        try:
            yield
        finally:
            over.set()
        killing.result()
    fleet.wait()


def noticed(fleet: Fleet, metric: str) -> None:
    """Return once the replicas have met a fault; what nobody has met shows nothing."""
    until(lambda: fleet.metric(metric) > 0, 60)


def entries(cache: Path, redis: RedisServer) -> set[str]:
    """The names of the embeddings that outlive a process."""
    names = {path.name for path in (cache / "embeddings").glob("??/" + "?" * 64)}
    large = (key for key in redis.client.scan_iter("sam-backend:*") if redis.client.strlen(key) > EMBEDDING_BYTES)
    return names | {key.decode().removeprefix("sam-backend:") for key in large}


def check_cache(services: Sequence[Service], images: int, stored: set[str]) -> None:
    """No image that was stored was encoded again, and nothing that was stored is broken."""
    encodes = sum(service.metric("sam_encodes_total") for service in services)
    print(f"Of {images} images {len(stored)} were stored; {encodes:.0f} were encoded after all had died.")
    assert encodes == images - len(stored)
    for tier in ("disk", "redis"):
        name = f'sam_cache_faults_total{{fault="broken",tier="{tier}"}}'
        assert [service.metric(name) for service in services] == [0.0] * len(services)
