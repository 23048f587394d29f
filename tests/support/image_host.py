"""A file server on loopback that stands where Label Studio serves its images."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Reply:
    """What a path answers.

    Attributes:
        body: the file.
        status: HTTP's.
        headers: more of them.
        pause: seconds between two pieces of 1024 bytes.
        gate: the body waits until it is set.
        token: the legacy token that must come; None lets everybody in.
        tagged: it has an `ETag`, and who knows it gets 304.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0
    gate: threading.Event | None = None
    token: str | None = TOKEN
    tagged: bool = False

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'


@dataclass
class ImageHost:
    """Replies by path, and what was asked: (path, Authorization) of each request; its files' bodies that were sent."""

    url: str = ""
    replies: dict[str, Reply] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    is_gone: bool = False
    back_at: float = 0.0
    _server: "_Server | None" = field(default=None, init=False, repr=False)
    _thread: threading.Thread | None = field(default=None, init=False, repr=False)

    def start(self) -> None:
        """Listen, at the same address as before."""
        self._server = _Server(self, int(self.url.rpartition(":")[2] or 0))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.is_gone, self.back_at = False, time.monotonic()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        """Refuse all connections, and answer nothing on those that are open."""
        self.is_gone = True
        if self._server and self._thread:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def put(self, path: str, body: bytes, **more: object) -> str:
        """Serve a file; returns its path."""
        self.replies[path] = Reply(body, **more)  # type: ignore[arg-type]
        return path


@contextlib.contextmanager
def image_host() -> Iterator[ImageHost]:
    """Run one while inside."""
    host = ImageHost()
    host.start()
    try:
        yield host
    finally:
        host.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: ImageHost, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.host = host

    def handle_error(self, request: object, client_address: object) -> None:
        """The backend closes connections when it has had enough; that is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        host = self.server.host
        if host.is_gone:
            self.close_connection = True
            return
        authorization = self.headers.get("Authorization", "")
        host.requests.append((self.path, authorization))
        reply = host.replies.get(self.path, Reply(b"no such file", 404, token=None))
        if reply.token is not None and authorization != f"Token {reply.token}":
            reply = Reply(b"who are you?", 401)
        if reply.tagged and self.headers.get("If-None-Match") == reply.etag:
            reply = Reply(status=304)
        if reply.status == 200:
            host.sent.append(self.path)
        tag = {"ETag": reply.etag} if reply.tagged else {}
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **tag, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if reply.gate:
            reply.gate.wait(120)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            _send(self.wfile.write, reply)

    def log_message(self, *_: object) -> None:
        pass


def _send(write: Callable[[bytes], object], reply: Reply) -> None:
    if not reply.pause:
        write(reply.body)
        return
    for start in range(0, len(reply.body), 1024):
        write(reply.body[start : start + 1024])
        time.sleep(reply.pause)
