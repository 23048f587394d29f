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
from tests.support.redis_server import serving
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


@pytest.mark.parametrize("tier", ["SAM_CACHE_DIR", "SAM_REDIS_URL"])
def test_a_worker_that_dies_is_replaced_by_one_that_knows_the_projects(
    host: ImageHost, tmp_path: Path, tier: str
) -> None:
    """Only /setup said where the project's images are and which token opens them."""
    with serving(tmp_path) as redis:
        settings = {tier: {"SAM_CACHE_DIR": str(tmp_path / "cache"), "SAM_REDIS_URL": redis.url}[tier]}
        with running(tmp_path, **settings) as service:
            introduce(service.url, host, CLICK["project"])
            before = answer(service, CLICK)
            assert service.process.poll() is None
            [first] = service.workers()
            kill_worker(service)
            assert answer(service, CLICK) == before
            [second] = service.workers()
            assert second != first


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


def test_clicks_while_the_worker_is_killed_again_and_again_are_right_or_cut_off(
    host: ImageHost, tmp_path: Path
) -> None:
    """Who asked the dead worker loses the connection, as with any server; all others wait for the new one."""
    over = threading.Event()
    with running(tmp_path, LABEL_STUDIO_URL=host.url, LABEL_STUDIO_API_KEY=TOKEN) as service:
        expected = answer(service, CLICK)

        def ask() -> tuple[list[list[Body]], int]:
            answers, cut_off = [], 0
            while not over.is_set():
                try:
                    answers.append(answer(service, CLICK))
                except requests.ConnectionError:
                    cut_off += 1
            return answers, cut_off

        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(ask) for _ in range(4)]
            for _ in range(2):
                [worker] = service.workers()
                kill_worker(service)
                until(_is_replaced(service, worker), 60)
            over.set()
            found = [one.result() for one in asked]
        assert all(answers and all(one == expected for one in answers) for answers, _ in found)
        assert sum(cut_off for _, cut_off in found) <= 2 * len(found)


def _is_replaced(service: Service, worker: int) -> Callable[[], bool]:
    """Whether another worker has answered a click."""
    before = service.log().count("POST /predict 200")
    return lambda: service.workers() not in ([], [worker]) and service.log().count("POST /predict 200") > before + 4


def test_a_stop_answers_all_that_asked_and_takes_no_more(host: ImageHost, tmp_path: Path) -> None:
    gate = threading.Event()
    host.put(PATH, host.replies[PATH].body, gate=gate)
    settings = {"LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN, "SAM_THREADS": "2"}
    with running(tmp_path, **settings) as service, ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(answer, service, CLICK) for _ in range(6)]
        until(lambda: service.metric("sam_clicks") == 6)
        service.process.send_signal(signal.SIGTERM)
        until(lambda: _refuses(service))
        assert not any(one.done() for one in asked)
        gate.set()
        answers = [one.result() for one in asked]
        assert answers == answers[:1] * 6
        assert answers[0]
        assert service.process.wait(30) == 0
    assert "Traceback" not in service.log()


def _refuses(service: Service) -> bool:
    try:
        socket.create_connection(("127.0.0.1", urlsplit(service.url).port or 0), 5).close()
    except (ConnectionRefusedError, ConnectionResetError):  # the latter at the very moment
        return True
    return False
