"""Clicks wait their turn, up to a limit; who has hung up costs nothing; all else is answered meanwhile."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from sam_backend import metrics
from sam_backend.clicks import Clicks
from sam_backend.errors import BusyError, GoneError
from sam_backend.serving.listener import is_closed
from tests.support import recordings, scenes
from tests.support.image_host import ImageHost, image_host
from tests.support.service import Service, running
from tests.support.waiting import until


def in_progress() -> float:
    return metrics.REGISTRY.get_sample_value("sam_clicks") or 0.0


def test_so_many_are_answered_so_many_wait_and_the_next_are_told_at_once() -> None:
    clicks, go, before = Clicks(2, 3), threading.Event(), in_progress()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(clicks.answer, lambda number=number: (go.wait(20), number)[1]) for number in range(5)]
        until(lambda: in_progress() == before + 5)
        for _ in range(3):
            with pytest.raises(BusyError):
                clicks.answer(bool)
        go.set()
        assert [one.result(20) for one in asked] == [0, 1, 2, 3, 4]
    assert clicks.answer(lambda: "again") == "again"
    assert in_progress() == before


def test_a_failure_makes_room_for_the_next() -> None:
    clicks = Clicks(1, 0)

    def fail() -> None:
        raise ValueError("it went wrong")

    for _ in range(3):
        with pytest.raises(ValueError, match="it went wrong"):
            clicks.answer(fail)
    assert clicks.answer(lambda: 1) == 1


def test_who_hung_up_while_he_waited_costs_nothing() -> None:
    clicks, go, done = Clicks(1, 4), threading.Event(), []
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(clicks.answer, lambda: go.wait(20))
        gone: Future[None] = pool.submit(clicks.answer, lambda: done.append("gone"), lambda: True)
        here: Future[None] = pool.submit(clicks.answer, lambda: done.append("here"), lambda: False)
        go.set()
        assert first.result(20)
        with pytest.raises(GoneError):
            gone.result(20)
        here.result(20)
    assert done == ["here"]


def test_a_connection_is_closed_when_the_other_side_has_closed_it_and_not_when_it_is_silent_or_ahead() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not is_closed(ours)
        theirs.sendall(b"GET / HTTP/1.1")
        assert not is_closed(ours)
        assert ours.recv(100) == b"GET / HTTP/1.1", "it looked, and took nothing"
        theirs.close()
        assert is_closed(ours)
    assert is_closed(ours)


# ------------------------------------------------------------------------------------------------ the service


@pytest.fixture
def host() -> Iterator[ImageHost]:
    with image_host() as running_host:
        yield running_host


@pytest.fixture
def small(host: ImageHost, tmp_path: Path) -> Iterator[Service]:
    settings = {"SAM_THREADS": "1", "SAM_CLICK_QUEUE": "2", "SAM_WARM_QUEUE": "0", "LABEL_STUDIO_URL": host.url}
    with running(tmp_path, **settings) as service:
        yield service


def test_a_service_with_too_many_clicks_says_when_to_come_back_and_loses_none_that_it_took(
    host: ImageHost, small: Service
) -> None:
    """One click holds the only thread, as its image does not come; two wait; the others are refused."""
    scene = scenes.draw(320, 240, {"one": (50.0, 50.0, 15.0, 20.0)}, 0)
    gate = threading.Event()
    path = host.put("/data/upload/1/slow.png", scenes.png(scene.rgb), token=None, gate=gate)
    body = recordings.ask(path, (240, 320), recordings.keypoint(50.0, 50.0))
    with ThreadPoolExecutor(3) as pool:
        taken = [pool.submit(requests.post, f"{small.url}/predict", json=body, timeout=60) for _ in range(3)]
        until(lambda: small.metric("sam_clicks") == 3)
        refused = requests.post(f"{small.url}/predict", json=body, timeout=10)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert refused.json()["error"] == "BusyError"
        assert requests.get(f"{small.url}/health", timeout=10).status_code == 200
        assert requests.get(f"{small.url}/ready", timeout=10).status_code == 200
        gate.set()
        for one in taken:
            [region] = recordings.answered(one.result(60))
            assert scenes.iou(recordings.bitmap(region), scene.objects["one"]) >= 0.8


def test_a_client_that_hangs_up_while_it_waits_costs_no_decode(host: ImageHost, small: Service) -> None:
    scene = scenes.draw(320, 240, {"one": (50.0, 50.0, 15.0, 20.0)}, 1)
    gate = threading.Event()
    slow = host.put("/data/upload/1/held.png", scenes.png(scene.rgb), token=None, gate=gate)
    first = recordings.ask(slow, (240, 320), recordings.keypoint(50.0, 50.0))
    other = recordings.ask(slow, (240, 320), recordings.keypoint(48.0, 49.0))
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(requests.post, f"{small.url}/predict", json=first, timeout=60)
        until(lambda: small.metric("sam_clicks") == 1)
        with pytest.raises(requests.ReadTimeout):
            requests.post(f"{small.url}/predict", json=other, timeout=1)
        assert small.metric("sam_clicks") == 2
        gate.set()
        assert held.result(60).status_code == 200
    until(lambda: small.metric("sam_clicks") == 0)
    assert small.metric("sam_decodes_total") == 1
    assert small.metric('sam_errors_total{error="GoneError"}') == 1
