"""What the balancer of docker-compose.yml does for clicks; its replicas are played."""

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import requests

from tests.support.balancer import balancing
from tests.support.containers import wait_for
from tests.support.stand_in import answering


def asked_through(folder: Path, *replicas: Callable[[str], int | None], times: int = 8) -> Sequence[int]:
    """The statuses of clicks that a balancer deals out to these, one after the other."""
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(answering(replica)) for replica in replicas]
        url = stack.enter_context(balancing(folder, urls))
        body = {"tasks": ["x" * 100_000]}
        return [requests.post(f"{url}/predict", json=body, timeout=30).status_code for _ in range(times)]


@pytest.mark.parametrize("failure", [503, None], ids=["busy", "hangs up"])
def test_a_click_that_a_replica_cannot_answer_is_asked_of_another(tmp_path: Path, failure: int | None) -> None:
    def failing(path: str) -> int | None:
        return failure if path == "/predict" else 200

    assert set(asked_through(tmp_path, failing, lambda _: 200)) == {200}


def test_a_replica_that_is_not_ready_gets_no_clicks(tmp_path: Path) -> None:
    clicks: list[str] = []

    def loading(path: str) -> int | None:
        if path == "/predict":
            clicks.append(path)
        return 503 if path == "/ready" else 200

    with answering(loading) as one, answering(lambda _: 200) as other, balancing(tmp_path, [one, other]) as url:

        def is_spared() -> bool:
            clicks.clear()
            assert {requests.post(f"{url}/predict", json={}, timeout=30).status_code for _ in range(10)} == {200}
            return not clicks

        wait_for(is_spared, "clicks are asked of the other one")


def test_an_error_that_is_an_answer_is_handed_on_as_it_is(tmp_path: Path) -> None:
    """Another replica would say the same."""
    asked: list[str] = []

    def refusing(path: str) -> int | None:
        if path != "/predict":
            return 200
        asked.append(path)
        return 400

    assert asked_through(tmp_path, refusing, refusing, times=3) == [400, 400, 400]
    assert len(asked) == 3


def test_when_all_are_busy_the_caller_is_told(tmp_path: Path) -> None:
    def busy(path: str) -> int | None:
        return 503 if path == "/predict" else 200

    assert asked_through(tmp_path, busy, busy, times=2) == [503, 503]


def test_a_slow_body_keeps_no_replica_waiting(tmp_path: Path) -> None:
    """It is asked when the body is there."""
    clicks: list[str] = []

    def recording(path: str) -> int | None:
        clicks.extend([path] * (path == "/predict"))
        return 200

    head, body = b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: 200000\r\n\r\n", b"x" * 200_000
    with answering(recording) as replica, balancing(tmp_path, [replica]) as url:
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=30) as slow:
            slow.sendall(head + body[:150_000])
            time.sleep(1)
            assert clicks == []
            slow.sendall(body[150_000:])
            assert slow.recv(12) == b"HTTP/1.1 200"
        assert clicks == ["/predict"]
