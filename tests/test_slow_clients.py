"""Clients that send slowly, endlessly, or too much: they hold up nobody, and are sent away by name."""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from sam_backend.errors import SlowRequestError
from sam_backend.serving.receipt import Receipt, Terms
from sam_backend.serving.server import body_limit
from sam_backend.settings import Settings
from tests.support import recordings
from tests.support.image_host import TOKEN, ImageHost, image_host
from tests.support.service import Service, running
from tests.support.waiting import until

SECONDS = 12
MOST = 17_000_000
EVENT = 16 * 1024**2
HALF_A_HEADER = b"POST /predict HTTP/1.1\r\nHost: a\r\nX-Slow: "
HALF_A_BODY = b'POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n{"tasks": ['
CHUNKED = b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
HALF_A_CHUNK = CHUNKED + b"1000\r\n{"
ENDS_OF_CHUNKS = CHUNKED + b"5\r\n0\r\n\r\n\r\n1000\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def host() -> Iterator[ImageHost]:
    with image_host() as running_host:
        recordings.serve(running_host)
        yield running_host


@pytest.fixture(scope="module")
def service(host: ImageHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {
        "LABEL_STUDIO_URL": host.url,
        "LABEL_STUDIO_API_KEY": TOKEN,
        "SAM_BODY_SECONDS": str(SECONDS),
        "SAM_MAX_BODY_BYTES": str(MOST),
    }
    with running(tmp_path_factory.mktemp("service"), **settings) as running_service:
        recordings.answered(recordings.read("A1_keypoint_positive__predict").send(running_service.url))
        yield running_service
        assert "Traceback" not in running_service.log()


def connect(service: Service, sent: bytes = b"") -> socket.socket:
    port = int(service.url.rpartition(":")[2])
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    sock.sendall(sent)
    return sock


def received(sock: socket.socket) -> bytes:
    """All that comes until the other side hangs up."""
    pieces = []
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65536):
            pieces.append(data)
    return b"".join(pieces)


def error(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), orjson.loads(body)["error"]


def worker(service: Service) -> Path:
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
    [child] = children.read_text().split()
    return Path("/proc") / child


def threads_and_files(service: Service) -> tuple[int, int]:
    process = worker(service)
    return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))


@contextlib.contextmanager
def trickling(socks: list[socket.socket]) -> Iterator[None]:
    """Each sends a byte now and then."""
    over = threading.Event()

    def trickle() -> None:
        while not over.wait(0.5):
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.send(b"1")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_two_hundred_slow_clients_hold_up_no_click_and_are_sent_away(service: Service) -> None:
    """Without them reaching a thread; afterwards nothing is left of them."""
    before = threads_and_files(service)
    beginnings = (HALF_A_HEADER, HALF_A_BODY, HALF_A_CHUNK, ENDS_OF_CHUNKS)
    socks = [connect(service, beginnings[number % 4]) for number in range(200)]
    with trickling(socks):
        assert requests.get(f"{service.url}/health", timeout=SECONDS / 2).status_code == 200
        click = recordings.read("A1_keypoint_positive__predict")
        assert len(recordings.answered(click.send(service.url, timeout=30))) == 1
        answers = [received(sock) for sock in socks]
    assert {error(answer) for answer in answers} == {(408, SlowRequestError.__name__)}
    for sock in socks:
        sock.close()
    assert service.metric('sam_errors_total{error="SlowRequestError"}') == 200
    until(lambda: threads_and_files(service)[1] <= before[1] + 4)
    assert threads_and_files(service)[0] <= before[0] + 4


def test_more_connections_than_are_taken_hold_up_nobody(service: Service) -> None:
    """Those that idle longest are closed."""
    socks = [connect(service) for _ in range(700)]
    try:
        assert requests.get(f"{service.url}/health", timeout=30).status_code == 200
        assert received(socks[0]) == b""
    finally:
        for sock in socks:
            sock.close()


def test_what_is_held_of_bodies_has_a_limit(service: Service) -> None:
    """The largest that is still arriving goes, with an error that says to come back."""
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % MOST
    socks = [connect(service, head + bytes(MOST - 1000)) for _ in range(5)]
    try:
        [refused], _, _ = select.select(socks, [], [], SECONDS / 2)
        assert error(received(refused)) == (503, "BusyError")
        click = recordings.read("A1_keypoint_positive__predict")
        assert len(recordings.answered(click.send(service.url))) == 1
    finally:
        for sock in socks:
            sock.close()


@pytest.mark.parametrize(("path", "length"), [("/predict", MOST + 1), ("/setup", 10**13), ("/webhook", EVENT + 1)])
def test_a_body_that_is_announced_as_too_large_is_refused_before_it_comes(
    service: Service, path: str, length: int
) -> None:
    sock = connect(service, b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (path.encode(), length))
    assert error(received(sock)) == (413, "BodyTooLargeError")
    sock.close()


def test_a_body_that_does_not_end_is_refused_at_the_limit(service: Service) -> None:
    sock = connect(service, CHUNKED)
    sent, piece = 0, b"100000\r\n" + bytes(0x100000) + b"\r\n"
    with contextlib.suppress(ConnectionError):
        while sent < 9 * MOST:
            sock.sendall(piece)
            sent += len(piece)
    assert sent < 9 * MOST
    sock.close()
    assert requests.get(f"{service.url}/health", timeout=30).status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 200_000,
        b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"X: x\r\n" * 30_000,
        b"GET /health?" + b"q=1&" * 50_000,
        b"GET /health?" + b"q=1&" * 2_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"X: x\r\n" * 200 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nContent-Length: 8\r\n\r\n",
        CHUNKED + b"ffffffffffffffffffffffff\r\n",
    ],
)
def test_headers_that_are_too_many_or_none_are_refused_at_once(service: Service, head: bytes) -> None:
    sock = connect(service)
    with contextlib.suppress(ConnectionError):
        sock.sendall(head)
    answer = received(sock)
    assert not answer or answer.startswith(b"HTTP/1.1 4"), answer
    sock.close()


def test_requests_one_behind_the_other_are_answered_in_order(service: Service) -> None:
    event = b'{"action": "A"}'
    webhook = b"POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(event) + event
    sock = connect(service, HEALTH + webhook + HEALTH.replace(b"Host: a", b"Host: a\r\nConnection: close"))
    answer = received(sock)
    statuses = [part.split()[0] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"201", b"200"]
    sock.close()


def test_who_asks_whether_to_go_on_is_told_so(service: Service) -> None:
    event = b'{"action": "A"}'
    head = b"POST /webhook HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\n"
    sock = connect(service, head + b"Content-Length: %d\r\n\r\n" % len(event))
    assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    sock.sendall(event)
    assert b"201 CREATED" in received(sock)
    sock.close()


# ------------------------------------------------------------------------------------------------------------- receipt

TERMS = Terms(lambda path: 100 if path == "/predict" else 10, 60)
WHOLE = [
    HEALTH,
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /predict?a=b HTTP/1.0\r\nContent-Length: 100\r\n\r\n" + b"x" * 100,
    CHUNKED + b"3\r\nabc\r\n5;a=b\r\n0\r\n\r\n\r\n0\r\nA: b\r\n\r\n",
]
TOO_LARGE = [
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n" + b"x" * 101,
    b"POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n" + b"x" * 11,
    CHUNKED + b"65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n",
]


@given(st.sampled_from(WHOLE), st.lists(st.integers(1, 40), min_size=1), st.sampled_from([b"", HEALTH, b"\0"]))
def test_a_request_is_whole_at_its_last_byte_however_it_arrives(
    request: bytes, steps: list[int], behind: bytes
) -> None:
    receipt, sent, at = Receipt(TERMS), request + behind, 0
    for number in range(len(sent)):
        step = steps[number % len(steps)]
        receipt.feed(sent[at : at + step])
        at += step
        assert receipt.is_whole == receipt.is_ready == (at >= len(request))
        if receipt.is_ready:
            break
    assert b"".join(receipt.pieces) == request
    assert receipt.nbytes == len(request)
    assert receipt.rest == sent[len(request) : at]


@given(st.sampled_from(TOO_LARGE), st.integers(1, 300))
def test_a_request_that_is_too_large_is_never_whole(request: bytes, step: int) -> None:
    receipt = Receipt(TERMS)
    for at in range(0, len(request), step):
        receipt.feed(request[at : at + step])
        if receipt.is_ready:
            break
    assert receipt.is_ready
    assert not receipt.is_whole


def test_single_bytes_take_no_more_memory_than_they_are() -> None:
    receipt = Receipt(Terms(lambda _: 10**6, 60))
    receipt.feed(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n")
    for _ in range(5000):
        receipt.feed(b"x")
    assert len(receipt.pieces) == 2  # its headers, its body


@pytest.mark.parametrize(
    ("path", "most"),
    [("/predict", 10**9), ("/setup", 10**9), ("/webhook", EVENT), ("/health", 65536)],
)
def test_only_what_reads_large_bodies_takes_them(path: str, most: int) -> None:
    assert body_limit(Settings(max_body_bytes=10**9), path) == most
    assert body_limit(Settings(max_body_bytes=1000), path) == 1000


def test_time_passes_for_a_kept_connection_too(service: Service) -> None:
    """Its second request has its own time, from its first byte on."""
    sock = connect(service, HEALTH)
    assert b"200 OK" in sock.recv(65536)
    time.sleep(0.1)
    sock.sendall(b"GET")
    assert error(received(sock)) == (408, "SlowRequestError")
    sock.close()
