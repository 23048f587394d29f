"""The worker process that dies is replaced, and one that is told to stop answers first."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.support import recordings, scenes
from tests.support.annotators import introduce
from tests.support.image_host import TOKEN, ImageHost, image_host
from tests.support.service import Service, running
from tests.support.waiting import until
from tests.test_concurrency import Body, answer

PATH, SIZE = "/data/upload/1/0.png", (480, 640)
CLICK = recordings.ask(PATH, SIZE, recordings.keypoint(35, 40))


@pytest.fixture
def host() -> Iterator[ImageHost]:
    with image_host() as running_host:
        running_host.put(PATH, scenes.png(scenes.draw(SIZE[1], SIZE[0], scenes.STAGE).rgb))
        yield running_host


def kill_worker(service: Service) -> None:
    """As the kernel does when memory is short."""
    [worker] = service.workers()
    os.kill(worker, signal.SIGKILL)


def test_a_worker_that_dies_under_clicks_is_replaced_by_one_that_knows_the_projects(
    host: ImageHost, tmp_path: Path
) -> None:
    """Who asked the dead one loses the connection, as with any server; all others wait for the new one.

    Only /setup said where the project's images are, and which token opens them.
    """
    over = threading.Event()
    with running(tmp_path, SAM_CACHE_DIR=str(tmp_path / "cache")) as service:
        introduce(service.url, host, CLICK["project"])
        expected = answer(service, CLICK)

        def ask() -> list[list[Body] | None]:
            answers: list[list[Body] | None] = []
            while not over.is_set():
                try:
                    answers.append(answer(service, CLICK))
                except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                    answers.append(None)
            return answers

        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(ask) for _ in range(4)]
            for _ in range(2):
                before = service.workers()
                kill_worker(service)
                until(_is_replaced(service, before), 100)
            over.set()
            found = [one.result() for one in asked]
        for answers in found:
            assert answers[-1] == expected
            assert answers.count(None) <= 2
            assert answers.count(expected) + answers.count(None) == len(answers)


def _is_replaced(service: Service, before: list[int]) -> Callable[[], bool]:
    """Whether another worker answers clicks."""
    answered = "POST /predict 200"
    known = service.log().count(answered) + 4  # some may have been written by the one that was killed
    return lambda: service.workers() not in ([], before) and service.log().count(answered) > known


def test_without_a_tier_that_outlives_it_a_new_worker_says_what_is_missing(host: ImageHost, tmp_path: Path) -> None:
    with running(tmp_path) as service:
        introduce(service.url, host, CLICK["project"])
        before = answer(service, CLICK)
        kill_worker(service)
        lost = requests.post(f"{service.url}/predict", json=CLICK, timeout=120)
        assert (lost.status_code, lost.json()["error"]) == (400, "ImageUrlError")
        assert lost.json()["remedy"]
        introduce(service.url, host, CLICK["project"])
        assert answer(service, CLICK) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_worker_that_ends_answers_all_that_asked_and_takes_no_more(
    host: ImageHost, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Told to, or because the process that began it was killed: the port is free at once for the next one."""
    gate = threading.Event()
    host.put(PATH, host.replies[PATH].body, gate=gate)
    settings = {"LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN, "SAM_THREADS": "2"}
    with running(tmp_path, **settings) as service, ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(answer, service, CLICK) for _ in range(6)]
        until(lambda: service.metric("sam_clicks") == 6)
        service.process.send_signal(number)
        until(lambda: _refuses(service))
        assert not any(one.done() for one in asked)
        gate.set()
        answers = [one.result() for one in asked]
        assert answers == answers[:1] * 6
        assert answers[0]
        assert service.process.wait(30) == code
    assert "Traceback" not in service.log()


def _refuses(service: Service) -> bool:
    try:
        socket.create_connection(("127.0.0.1", urlsplit(service.url).port or 0), 5).close()
    except (ConnectionRefusedError, ConnectionResetError):  # the latter at the very moment
        return True
    return False
