"""A crowd of annotators on one process: everybody gets the serial answers, and memory does not grow."""

import statistics
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.annotators import Annotator, Tally, alone, draw, introduce, sittings
from tests.support.image_host import ImageHost, image_host
from tests.support.service import Service, running

PROJECTS = ("1.1795178706", "6.1795179528", "6.1895179528")
# Small enough to be full before memory is looked at; few enough clicks may wait that some are refused.
SETTINGS = {"SAM_MEMORY_CACHE": "20MiB", "SAM_THREADS": "4", "SAM_CLICK_QUEUE": "6"}


@dataclass(frozen=True)
class Figures:
    """How large a crowd, for how long.

    Attributes:
        seeds: sittings of each kind on each image.
        growth: by how much the median memory of the last quarter may exceed that of the second one.
    """

    annotators: int
    images: int
    seeds: int
    seconds: float
    growth: float


SHORT = Figures(annotators=12, images=6, seeds=1, seconds=6, growth=1.0)  # the caches still fill
LONG = Figures(annotators=20, images=30, seeds=4, seconds=600, growth=0.05)


@pytest.fixture
def host() -> Iterator[ImageHost]:
    with image_host() as running_host:
        yield running_host


@pytest.mark.parametrize("figures", [SHORT, pytest.param(LONG, marks=pytest.mark.soak)], ids=["short", "long"])
def test_a_crowd_gets_the_serial_answers_and_memory_stays(host: ImageHost, tmp_path: Path, figures: Figures) -> None:
    """Each answer is compared with what a service that is alone gives to the same sitting."""
    played = sittings(draw(host, figures.images), figures.seeds)
    with running(tmp_path) as service:
        introduce(service.url, host, PROJECTS[0])
        expected = alone(service.url, PROJECTS[0], played)

    tally = Tally()
    with running(tmp_path, **SETTINGS) as service, resident(service) as megabytes:
        for project in PROJECTS:
            introduce(service.url, host, project)
        crowd = [
            Annotator(service.url, number, PROJECTS[number % len(PROJECTS)], expected, tally, host)
            for number in range(figures.annotators)
        ]
        with ThreadPoolExecutor(len(crowd)) as pool:
            for done in [pool.submit(one.work, figures.seconds) for one in crowd]:
                done.result()
        encodes = service.metric("sam_encodes_total")
        traceback = "Traceback" in service.log()

    quarters = _medians(megabytes, 4)
    print(f"\n{dict(tally.counts)}; wrong: {len(tally.wrong)}; errors: {tally.errors[:5]}")
    print(f"Resident in MiB, medians of 12 parts: {_medians(megabytes, 12)}, of 4: {quarters}; {encodes:.0f} encodes.")
    assert tally.wrong == []
    assert tally.errors == []
    assert not traceback
    assert tally.counts["/predict 200"] > len(played)
    assert quarters[3] <= quarters[1] * (1 + figures.growth)


@contextmanager
def resident(service: Service, every: float = 0.25) -> Iterator[list[float]]:
    """The worker's resident memory in MiB, again and again while inside."""
    [worker] = service.workers()
    seen: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(every):
            status = Path(f"/proc/{worker}/status").read_text()
            seen.append(float(status.partition("VmRSS:")[2].split()[0]) / 1024)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _medians(values: list[float], parts: int) -> list[float]:
    size = len(values) // parts
    return [round(statistics.median(values[part * size : (part + 1) * size]), 1) for part in range(parts)]
