"""Images are fetched from real servers on loopback: the right token to the right origin, in time, within limits."""

import base64
import gzip
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote_from_bytes

import pytest

from sam_backend.errors import (
    ImageError,
    ImageTimeoutError,
    ImageTooLargeError,
    ImageUnavailableError,
    ImageUnreadableError,
    ImageUrlError,
)
from sam_backend.labelstudio import addresses, tokens
from sam_backend.labelstudio.fetch import MAX_REDIRECTS, Connection, Fetcher
from sam_backend.labelstudio.images import Limits
from sam_backend.labelstudio.networks import Networks
from tests.labelstudio.servers import Asked, CloudStudio, LabelStudio, Reply, Server, raw, serving

IMAGE = bytes(range(256)) * 40
LIMITS = Limits(max_bytes=20_000, max_pixels=10**6, timeout=10)
HASTY = Limits(max_bytes=20_000, max_pixels=10**6, timeout=0.5)
LEGACY = "0123456789abcdef0123456789abcdef01234567"
NOBODY = Connection()
LOOPBACK = Networks((ip_network("127.0.0.0/8"),))
"""Other hosts are on loopback too."""


def image(_: Asked) -> Reply:
    return Reply(200, IMAGE)


def always(reply: Reply) -> Callable[[Asked], Reply]:
    return lambda _: reply


def redirect(location: str, status: int = 302) -> Callable[[Asked], Reply]:
    return always(Reply(status, b"elsewhere", {"Location": location}))


@pytest.fixture
def fetcher() -> Fetcher:
    return Fetcher(LOOPBACK)


@pytest.fixture
def other() -> Iterator[Server]:
    """A server that is not Label Studio, and gives its images to everybody."""
    with serving(image) as server:
        yield server


def test_an_upload_is_fetched_with_the_environments_token(fetcher: Fetcher) -> None:
    studio = LabelStudio(IMAGE, legacy=LEGACY)
    with serving(studio.answer) as server:
        assert fetcher.fetch("/data/upload/1/a b.png", Connection(server.url, LEGACY), LIMITS) == IMAGE
        assert fetcher.fetch("/data/local-files/?d=a/b.png", Connection(server.url + "/", LEGACY), LIMITS) == IMAGE
        assert fetcher.fetch(f"{server.url}/data/upload/1/c.png", Connection(server.url, LEGACY), LIMITS) == IMAGE
    assert [asked.path for asked in server.asked] == [
        "/data/upload/1/a%20b.png",
        "/data/local-files/?d=a/b.png",
        "/data/upload/1/c.png",
    ]
    assert set(server.authorizations) == {f"Token {LEGACY}"}


def test_without_an_environment_the_setups_host_and_token_are_taken(fetcher: Fetcher) -> None:
    studio = LabelStudio(IMAGE, legacy=LEGACY)
    with serving(studio.answer) as server:
        connection = Connection(setup_hostname=server.url, setup_token=LEGACY)
        assert fetcher.fetch("/data/upload/1/a.png", connection, LIMITS) == IMAGE


def test_a_foreign_host_gets_no_token(fetcher: Fetcher, other: Server) -> None:
    connection = Connection("http://127.0.0.1:1", LEGACY, "http://127.0.0.1:2", "setup")
    assert fetcher.fetch(f"{other.url}/x.png", connection, LIMITS) == IMAGE
    [asked] = other.asked
    assert asked.authorization == ""
    assert LEGACY not in str(asked)
    assert "cookie" not in asked.headers


def test_the_host_of_setup_gets_its_own_token_and_never_the_environments(fetcher: Fetcher) -> None:
    with serving(image) as environment, serving(image, "127.0.0.2") as setup:
        connection = Connection(environment.url, LEGACY, setup.url, "setup's")
        for server in (environment, setup):
            fetcher.fetch(f"{server.url}/x.png", connection, LIMITS)
        fetcher.fetch("/path.png", connection, LIMITS)
    assert environment.authorizations == [f"Token {LEGACY}"] * 2
    assert setup.authorizations == ["Token setup's"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_leaves_the_token_behind(fetcher: Fetcher, other: Server, status: int) -> None:
    with serving(redirect(f"{other.url}/signed.png?sig=1", status)) as studio:
        assert fetcher.fetch("/data/upload/1/a.png", Connection(studio.url, LEGACY), LIMITS) == IMAGE
    assert studio.authorizations == [f"Token {LEGACY}"]
    assert other.authorizations == [""]
    assert other.asked[0].path == "/signed.png?sig=1"


def test_the_same_port_on_another_address_is_another_origin(fetcher: Fetcher) -> None:
    with serving(image) as studio:
        port = studio.url.rsplit(":", 1)[1]
        with pytest.raises(ImageError):  # nothing listens there; a token would have gone with the request
            fetcher.fetch(f"http://127.0.0.2:{port}/x.png", Connection(studio.url, LEGACY), HASTY)
    assert studio.asked == []


def test_a_redirect_within_the_origin_keeps_the_token(fetcher: Fetcher) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(302, b"", {"Location": "../final.png"}) if asked.path == "/data/a/b.png" else Reply(200, IMAGE)

    with serving(answer) as studio:
        assert fetcher.fetch("/data/a/b.png", Connection(studio.url, LEGACY), LIMITS) == IMAGE
    assert [asked.path for asked in studio.asked] == ["/data/a/b.png", "/data/final.png"]
    assert studio.authorizations == [f"Token {LEGACY}"] * 2


def test_a_redirect_there_and_back_decides_at_each_hop(fetcher: Fetcher) -> None:
    with serving(image) as studio, serving(redirect(f"{studio.url}/final.png")) as stranger:
        assert fetcher.fetch(f"{stranger.url}/x.png", Connection(studio.url, LEGACY), LIMITS) == IMAGE
    assert stranger.authorizations == [""]
    assert studio.authorizations == [f"Token {LEGACY}"]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://user:x@127.0.0.1/"])
def test_a_redirect_to_what_is_not_fetched_is_refused(fetcher: Fetcher, target: str) -> None:
    with serving(redirect(target)) as server, pytest.raises(ImageUrlError):
        fetcher.fetch(f"{server.url}/x.png", NOBODY, LIMITS)


def test_redirects_end(fetcher: Fetcher) -> None:
    steps = itertools.count()
    with serving(lambda _: Reply(302, b"", {"Location": f"/{next(steps)}"})) as server:
        with pytest.raises(ImageUnavailableError, match="more than 5 times"):
            fetcher.fetch(f"{server.url}/x.png", NOBODY, LIMITS)
        assert len(server.asked) == MAX_REDIRECTS + 1


def test_cookies_are_not_kept(fetcher: Fetcher) -> None:
    with serving(lambda _: Reply(200, IMAGE, {"Set-Cookie": "sessionid=secret"})) as server:
        for _ in range(2):
            fetcher.fetch(f"{server.url}/x.png", NOBODY, LIMITS)
    assert all("cookie" not in asked.headers for asked in server.asked)


def test_netrc_is_not_read(fetcher: Fetcher, other: Server, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    fetcher.fetch(f"{other.url}/x.png", NOBODY, LIMITS)
    assert other.authorizations == [""]


# Cloud storages

CLOUD_URI = "s3://bucket/ü b+c#1.png"


def cloud(**more: Any) -> CloudStudio:
    return CloudStudio(LEGACY, {CLOUD_URI: IMAGE}, **more)


@pytest.mark.parametrize("is_signed", [True, False])
def test_a_cloud_storages_file_comes_through_label_studio(fetcher: Fetcher, is_signed: object) -> None:
    studio = cloud()
    with serving(studio.store) as store, serving(studio.answer) as server:
        studio.signed = store.url if is_signed else ""
        for connection in (Connection(server.url, LEGACY), Connection(setup_hostname=server.url, setup_token=LEGACY)):
            assert fetcher.fetch(CLOUD_URI, connection, LIMITS, 7) == IMAGE
    assert server.authorizations == [f"Token {LEGACY}"] * 2
    assert store.authorizations == ([""] * 2 if is_signed else [])


def test_a_signed_address_at_label_studios_own_origin_gets_no_token_either(fetcher: Fetcher) -> None:
    """A storage behind the same proxy as Label Studio: S3 refuses a token beside a signature."""
    studio = cloud()

    def answer(asked: Asked) -> Reply:
        return studio.answer(asked) if asked.path.startswith("/tasks/") else studio.store(asked)

    with serving(answer) as server:
        studio.signed = server.url
        assert fetcher.fetch(CLOUD_URI, Connection(server.url, LEGACY), LIMITS, "7") == IMAGE
    assert server.authorizations == [f"Token {LEGACY}", ""]


@pytest.mark.parametrize(
    ("uri", "task_id", "token", "is_signed", "status", "remedy"),
    [
        (CLOUD_URI, 8, LEGACY, True, 404, "import storage"),
        ("s3://others/x.png", 7, LEGACY, True, 404, "import storage"),
        ("gs://bucket/x.png", 7, LEGACY, True, 404, "import storage"),
        ("s3://bucket/missing.png", 7, LEGACY, True, 403, "import storage"),
        ("s3://bucket/missing.png", 7, LEGACY, False, 424, "import storage"),
        (CLOUD_URI, 7, "wrong", True, 401, "LABEL_STUDIO_API_KEY"),
        (CLOUD_URI, 7, "", True, 401, "LABEL_STUDIO_API_KEY"),
    ],
)
def test_what_label_studio_does_not_open_is_named(
    fetcher: Fetcher, uri: str, task_id: int, token: str, is_signed: object, status: int, remedy: str
) -> None:
    studio = cloud()
    with serving(studio.store) as store, serving(studio.answer) as server:
        studio.signed = store.url if is_signed else ""
        with pytest.raises(ImageUnavailableError, match=f"answered {status}") as caught:
            fetcher.fetch(uri, Connection(server.url, token), LIMITS, task_id)
    assert uri in caught.value.message
    assert remedy in caught.value.remedy
    assert "secret" not in str(caught.value)
    assert "fileuri" not in str(caught.value)


def test_a_storage_that_cannot_be_reached_keeps_its_signature_secret(fetcher: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with serving(cloud(signed=gone).answer) as server, pytest.raises(ImageUnavailableError, match="refused") as caught:
        fetcher.fetch(CLOUD_URI, Connection(server.url, LEGACY), LIMITS, 7)
    assert "secret" not in str(caught.value)


def test_a_signed_address_in_the_task_is_fetched_as_it_is(fetcher: Fetcher) -> None:
    """A task may bring its own signed address, or Label Studio's for a cloud storage, whole or as a path."""
    studio = cloud()
    with serving(studio.store) as store, serving(studio.answer) as server:
        studio.signed = store.url
        path = addresses.resolve(CLOUD_URI, Connection(server.url), 7).removeprefix(server.url)
        connection = Connection(server.url, LEGACY)
        for address in (path, server.url + path):
            assert fetcher.fetch(address, connection, LIMITS) == IMAGE
        assert fetcher.fetch(f"{store.url}{store.asked[0].path}", connection, LIMITS) == IMAGE
    assert set(store.authorizations) == {""}


# Personal access tokens


def test_a_personal_access_token_is_exchanged_once_and_never_sent_itself(fetcher: Fetcher) -> None:
    studio = LabelStudio(IMAGE)
    with serving(studio.answer) as server:
        for _ in range(3):
            assert fetcher.fetch("/data/upload/1/a.png", Connection(server.url, studio.personal), LIMITS) == IMAGE
    assert studio.refreshes == 1
    assert server.authorizations == ["", *[f"Bearer {studio.access}"] * 3]
    assert not any(studio.personal in asked.authorization for asked in server.asked)


def test_a_refused_access_token_is_renewed_once(fetcher: Fetcher) -> None:
    studio = LabelStudio(IMAGE)
    with serving(studio.answer) as server:
        connection = Connection(server.url, studio.personal)
        fetcher.fetch("/data/upload/1/a.png", connection, LIMITS)
        studio.expire()
        assert fetcher.fetch("/data/upload/1/a.png", connection, LIMITS) == IMAGE
        assert studio.refreshes == 2


def test_an_access_token_is_renewed_before_it_expires(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Label Studio's live for 300 seconds; here half a second is left of them."""
    assert tokens.LIFETIME - tokens.MARGIN == 270
    monkeypatch.setattr(tokens, "LIFETIME", tokens.MARGIN + 0.5)
    studio = LabelStudio(IMAGE)
    with serving(studio.answer) as server:
        connection = Connection(server.url, studio.personal)
        for pause, refreshes in ((0.0, 1), (0.0, 1), (0.6, 2)):
            time.sleep(pause)
            fetcher.fetch("/data/upload/1/a.png", connection, LIMITS)
            assert studio.refreshes == refreshes
    assert "" not in server.authorizations[1:3]


def test_when_the_renewed_token_is_refused_too_it_is_an_error(fetcher: Fetcher) -> None:
    studio = LabelStudio(IMAGE)

    def answer(asked: Asked) -> Reply:
        reply = studio.answer(asked)
        return reply if asked.method == "POST" else Reply(401)

    with serving(answer) as server, pytest.raises(ImageUnavailableError, match="401") as caught:
        fetcher.fetch("/data/upload/1/a.png", Connection(server.url, studio.personal), LIMITS)
    assert "LABEL_STUDIO_API_KEY" in caught.value.remedy
    assert studio.refreshes == 2
    assert len(server.asked) == 4


def test_a_wrong_personal_token_says_so_and_is_not_in_the_message(fetcher: Fetcher) -> None:
    studio = LabelStudio(IMAGE)
    wrong = "eyJhbGciOi.eyJ3cm9uZyI6.wrong"
    with serving(studio.answer) as server, pytest.raises(ImageUnavailableError, match="401") as caught:
        fetcher.fetch("/data/upload/1/a.png", Connection(server.url, wrong), LIMITS)
    assert wrong not in str(caught.value)
    assert [asked.path for asked in server.asked] == ["/api/token/refresh/"]


def test_a_disabled_legacy_token_says_what_to_set(fetcher: Fetcher) -> None:
    with serving(LabelStudio(IMAGE).answer) as server, pytest.raises(ImageUnavailableError, match="401") as caught:
        fetcher.fetch("/data/upload/1/a.png", Connection(setup_hostname=server.url, setup_token=LEGACY), LIMITS)
    assert "LABEL_STUDIO_API_KEY" in caught.value.remedy
    assert len(server.asked) == 1


def test_the_refresh_does_not_follow_redirects(fetcher: Fetcher, other: Server) -> None:
    """The token would be in the body."""
    personal = LabelStudio(IMAGE).personal
    with serving(redirect(f"{other.url}/api/token/refresh/", 307)) as server:
        with pytest.raises(ImageUnavailableError, match="redirects to") as caught:
            fetcher.fetch("/data/upload/1/a.png", Connection(server.url, personal), LIMITS)
        assert personal not in str(caught.value)
    assert other.asked == []


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]", b'{"access": ', b'"x"', b"x" * 100_000])
def test_a_refresh_without_an_access_token_is_an_error(fetcher: Fetcher, body: bytes) -> None:
    with serving(lambda _: Reply(200, body)) as server, pytest.raises(ImageError):
        fetcher.fetch("/a.png", Connection(server.url, LabelStudio(IMAGE).personal), LIMITS)
    assert len(server.asked) == 1


def test_label_studio_below_a_path_is_refreshed_there(fetcher: Fetcher) -> None:
    studio = LabelStudio(IMAGE)
    with serving(studio.answer) as server, pytest.raises(ImageError):
        fetcher.fetch("/data/upload/1/a.png", Connection(f"{server.url}/studio", studio.personal), LIMITS)
    assert server.asked[0].path == "/studio/api/token/refresh/"


def test_two_personal_tokens_have_an_access_token_each(fetcher: Fetcher) -> None:
    first, second = LabelStudio(IMAGE), LabelStudio(IMAGE)
    with serving(first.answer) as one, serving(second.answer) as two:
        for studio, server in ((first, one), (second, two), (first, one), (second, two)):
            fetcher.fetch("/data/upload/1/a.png", Connection(server.url, studio.personal), LIMITS)
    assert (first.refreshes, second.refreshes) == (1, 1)
    assert first.access != second.access


def test_sixteen_threads_refresh_once(fetcher: Fetcher) -> None:
    studio = LabelStudio(IMAGE)

    def slowly(asked: Asked) -> Reply:
        time.sleep(0.05)
        return studio.answer(asked)

    with serving(slowly) as server:
        connection = Connection(server.url, studio.personal)
        bodies: list[bytes] = []
        for expected in (1, 2):
            run(16, lambda: bodies.append(fetcher.fetch("/data/upload/1/a.png", connection, LIMITS)))
            assert studio.refreshes == expected
            studio.expire()
    assert bodies == [IMAGE] * 32


def test_who_waits_for_anothers_refresh_has_a_deadline(fetcher: Fetcher) -> None:
    studio = LabelStudio(IMAGE)
    release = threading.Event()

    def stuck(asked: Asked) -> Reply:
        release.wait(10)
        return studio.answer(asked)

    with serving(stuck) as server:
        connection = Connection(server.url, studio.personal)
        leader = threading.Thread(target=lambda: fetcher.fetch("/a.png", connection, LIMITS))
        leader.start()
        while not server.asked:
            time.sleep(0.01)
        with pytest.raises(ImageTimeoutError):
            fetcher.fetch("/a.png", connection, HASTY)
        release.set()
        leader.join()


# Slow servers


def within(seconds: float, call: Callable[[], object]) -> None:
    start = time.monotonic()
    with pytest.raises(ImageTimeoutError, match="did not arrive within") as caught:
        call()
    assert time.monotonic() - start < seconds
    assert "SAM_IMAGE_TIMEOUT" in caught.value.remedy


def drip(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece
        time.sleep(0.05)


def test_a_dripping_body_is_cut_at_the_deadline(fetcher: Fetcher) -> None:
    with serving(lambda _: Reply(200, drip(b"x"))) as server:
        within(4, lambda: fetcher.fetch(f"{server.url}/x.png", NOBODY, HASTY))


def test_a_body_that_stalls_is_cut_at_the_deadline(fetcher: Fetcher) -> None:
    def stall(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nxxx")
        time.sleep(3)

    with raw(stall) as url:
        within(2.8, lambda: fetcher.fetch(f"{url}/x.png", NOBODY, HASTY))


def test_a_body_that_stalls_late_has_only_what_is_left(fetcher: Fetcher) -> None:
    def stall(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        time.sleep(1.4)
        connection.sendall(b"xxx")
        time.sleep(2)

    with raw(stall) as url:
        within(2.6, lambda: fetcher.fetch(f"{url}/x.png", NOBODY, Limits(20_000, 1, timeout=1.5)))


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 302 Found\r\nLocation: http"])
def test_dripping_headers_are_cut_at_the_deadline(fetcher: Fetcher, start: bytes) -> None:
    def speak(connection: socket.socket) -> None:
        connection.sendall(start)
        for piece in itertools.islice(drip(b"H"), 100):
            connection.sendall(piece)

    with raw(speak) as url:
        within(4, lambda: fetcher.fetch(f"{url}/x.png", NOBODY, HASTY))


def test_a_dripping_chunked_body_is_cut_at_the_deadline(fetcher: Fetcher) -> None:
    def speak(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in itertools.islice(drip(b"1\r\nx\r\n"), 100):
            connection.sendall(piece)

    with raw(speak) as url:
        within(4, lambda: fetcher.fetch(f"{url}/x.png", NOBODY, HASTY))


def test_redirects_share_one_deadline(fetcher: Fetcher) -> None:
    def answer(asked: Asked) -> Reply:
        time.sleep(0.3)
        return Reply(302, b"", {"Location": asked.path + "x"})

    with serving(answer) as server:
        within(5, lambda: fetcher.fetch(f"{server.url}/x", NOBODY, HASTY))
        assert len(server.asked) <= 2


def test_a_slow_refresh_is_cut_at_the_deadline(fetcher: Fetcher) -> None:
    with serving(lambda _: Reply(200, drip(b" "))) as server:
        connection = Connection(server.url, LabelStudio(IMAGE).personal)
        within(4, lambda: fetcher.fetch("/x.png", connection, HASTY))


def test_a_server_that_does_not_accept_is_cut_at_the_deadline(fetcher: Fetcher) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = [socket.socket() for _ in range(4)]
    for client in waiting:  # the queue is full: further connections get no answer
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
    within(2, lambda: fetcher.fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/x.png", NOBODY, HASTY))
    for open_socket in (*waiting, listener):
        open_socket.close()


def test_a_slow_answer_within_the_deadline_is_taken(fetcher: Fetcher) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, len(IMAGE), 1024):
            time.sleep(0.02)
            yield IMAGE[start : start + 1024]

    with serving(lambda _: Reply(200, pieces())) as server:
        assert fetcher.fetch(f"{server.url}/x.png", NOBODY, LIMITS) == IMAGE


# Errors and limits


@pytest.mark.parametrize("status", [204, 304, 400, 401, 403, 404, 410, 429, 500, 502, 503])
def test_an_error_status_is_named(fetcher: Fetcher, status: int) -> None:
    with serving(lambda _: Reply(status, b"" if status in (204, 304) else b"no")) as server:
        with pytest.raises(ImageUnavailableError, match=f"answered {status}") as caught:
            fetcher.fetch(f"{server.url}/x.png?signature=secret", NOBODY, LIMITS)
        assert "secret" not in str(caught.value)
        assert "/x.png" in str(caught.value)
        assert len(server.asked) == 1


def test_a_refused_connection_is_named(fetcher: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/x.png"
    with pytest.raises(ImageUnavailableError, match="Connection refused") as caught:
        fetcher.fetch(url, NOBODY, LIMITS)
    assert url in str(caught.value)


def test_a_name_that_does_not_resolve_is_named(fetcher: Fetcher) -> None:
    with pytest.raises(ImageUnavailableError, match=r"no-such-host\.invalid"):
        fetcher.fetch("http://no-such-host.invalid/x.png", NOBODY, LIMITS)


@pytest.mark.parametrize(
    "spoken",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ntoo short",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\ntoo short",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nxxxx",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "garbage", "short", "short chunk", "bad chunk", "bad gzip", "many headers", "long header"],
)
def test_a_broken_answer_is_unavailable(fetcher: Fetcher, spoken: bytes) -> None:
    with raw(lambda connection: connection.sendall(spoken)) as url, pytest.raises(ImageUnavailableError):
        fetcher.fetch(f"{url}/x.png", NOBODY, LIMITS)


def test_a_closed_kept_connection_is_opened_anew(fetcher: Fetcher) -> None:
    """A server may close a kept connection at any time, also just when the next request arrives."""

    def once(connection: socket.socket) -> None:
        connection.settimeout(1)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(IMAGE)
        connection.sendall(head + IMAGE)
        connection.recv(65536)  # the second request of this connection is read, and answered by hanging up

    with raw(once) as url:
        for _ in range(3):
            assert fetcher.fetch(f"{url}/x.png", NOBODY, LIMITS) == IMAGE


def test_connections_are_kept(fetcher: Fetcher) -> None:
    with serving(image) as server:
        for _ in range(5):
            fetcher.fetch(f"{server.url}/x.png", NOBODY, LIMITS)
    assert len({asked.peer for asked in server.asked}) == 1


@pytest.mark.parametrize("has_length", [True, False])
def test_a_body_over_the_limit_is_refused(fetcher: Fetcher, has_length: object) -> None:
    exact, over = bytes(LIMITS.max_bytes), bytes(LIMITS.max_bytes + 1)
    for body, fits in ((exact, True), (over, False)):
        with serving(always(Reply(200, body, has_length=bool(has_length)))) as server:
            if fits:
                assert fetcher.fetch(f"{server.url}/x.png", NOBODY, LIMITS) == exact
                continue
            with pytest.raises(ImageTooLargeError, match="20000 bytes") as caught:
                fetcher.fetch(f"{server.url}/x.png", NOBODY, LIMITS)
            assert "SAM_MAX_IMAGE_BYTES" in caught.value.remedy


def test_an_endless_body_ends_at_the_limit(fetcher: Fetcher) -> None:
    sent = itertools.count()

    def pieces() -> Iterator[bytes]:
        while True:
            next(sent)
            yield bytes(1000)

    with serving(lambda _: Reply(200, pieces())) as server, pytest.raises(ImageTooLargeError):
        fetcher.fetch(f"{server.url}/x.png", NOBODY, LIMITS)
    assert next(sent) < 100_000


def test_a_gzip_bomb_ends_at_the_limit(fetcher: Fetcher) -> None:
    bomb = gzip.compress(bytes(200_000_000), 9)
    limits = Limits(max_bytes=1_000_000, max_pixels=1, timeout=10)
    assert len(bomb) < limits.max_bytes
    with serving(lambda _: Reply(200, bomb, {"Content-Encoding": "gzip"})) as server:
        start = time.monotonic()
        with pytest.raises(ImageTooLargeError):
            fetcher.fetch(f"{server.url}/x.png", NOBODY, limits)
        assert time.monotonic() - start < 2
    assert server.asked[0].headers["accept-encoding"] == "identity"


def test_a_body_that_is_compressed_unasked_is_read(fetcher: Fetcher) -> None:
    with serving(lambda _: Reply(200, gzip.compress(IMAGE), {"Content-Encoding": "gzip"})) as server:
        assert fetcher.fetch(f"{server.url}/x.png", NOBODY, LIMITS) == IMAGE


# Data URIs


@pytest.mark.parametrize(
    "address",
    [
        "data:image/png;base64," + base64.b64encode(IMAGE).decode(),
        "DATA:image/png;charset=x;BASE64," + base64.b64encode(IMAGE).decode().rstrip("="),
        "  data:;base64,\n" + base64.encodebytes(IMAGE).decode(),
        "data:;base64," + base64.b64encode(IMAGE).decode().replace("+", "%2B").replace("/", "%2F"),
        "data:image/png," + quote_from_bytes(IMAGE),
        "data:," + quote_from_bytes(IMAGE, safe=""),
    ],
)
def test_data_uris_are_read(fetcher: Fetcher, address: str) -> None:
    assert fetcher.fetch(address, NOBODY, LIMITS) == IMAGE


@pytest.mark.parametrize("address", ["data:", "data:image/png", "data:;base64,", "data:;base64,@@@", "data:;base64,A"])
def test_a_broken_data_uri_is_unreadable(fetcher: Fetcher, address: str) -> None:
    with pytest.raises(ImageUnreadableError):
        fetcher.fetch(address, NOBODY, LIMITS)


@pytest.mark.parametrize("size", [20_001, 1_000_000])
def test_a_data_uri_over_the_limit_is_refused(fetcher: Fetcher, size: int) -> None:
    for text in (";base64," + base64.b64encode(bytes(size)).decode(), "," + "x" * size, "," + "%00" * size):
        with pytest.raises(ImageTooLargeError):
            fetcher.fetch(f"data:image/png{text}", NOBODY, LIMITS)
    assert len(fetcher.fetch("data:," + "%00" * 20_000, NOBODY, LIMITS)) == 20_000


# Threads


def test_threads_with_different_connections_get_their_own_images(fetcher: Fetcher) -> None:
    """Each request carries its own project's token, whatever the others do at the same time."""

    def answer(asked: Asked) -> Reply:
        return Reply(200, asked.authorization.encode())

    with serving(answer) as server:
        found: list[tuple[str, bytes]] = []

        def work() -> None:
            for number in range(20):
                mine = f"{threading.get_ident()}-{number}"
                found.append((mine, fetcher.fetch("/x", Connection(server.url, mine), LIMITS)))

        run(8, work)
    assert len(found) == 160
    assert all(body == f"Token {mine}".encode() for mine, body in found)


def run(count: int, work: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
