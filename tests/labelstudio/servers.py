"""Small HTTP servers on loopback: each port, and each of 127.0.0.1 and 127.0.0.2, is an origin of its own."""

import base64
import contextlib
import json
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request that arrived; `peer` is the caller's port, one for each connection."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    peer: int

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")


@dataclass(frozen=True)
class Reply:
    """What is answered; without a length the body ends with the connection."""

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)
    has_length: bool = True


@dataclass
class Server:
    """Where it listens, and what arrived."""

    url: str
    asked: list[Asked] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def authorizations(self) -> list[str]:
        return [asked.authorization for asked in self.asked]


@contextlib.contextmanager
def serving(
    answer: Callable[[Asked], Reply], host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[Server]:
    """Run a server that answers so, while inside; on any free port, unless one is named."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, body, self.client_address[1])
            server.asked.append(asked)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                _send(self, answer(asked))

        do_POST = do_GET  # noqa: N815 - the standard library's name

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer((host, port), Handler)
    httpd.daemon_threads = True
    if tls:
        httpd.socket = tls.wrap_socket(httpd.socket, server_side=True)
    server = Server(f"{'https' if tls else 'http'}://{host}:{httpd.server_address[1]}")
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    handler.send_response(reply.status)
    for name, value in reply.headers.items():
        handler.send_header(name, value)
    if isinstance(reply.body, bytes) and reply.has_length:
        handler.send_header("Content-Length", str(len(reply.body)))
    else:
        handler.send_header("Connection", "close")
        handler.close_connection = True
    handler.end_headers()
    for piece in [reply.body] if isinstance(reply.body, bytes) else reply.body:
        handler.wfile.write(piece)
        handler.wfile.flush()


@contextlib.contextmanager
def raw(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that says what it likes to each connection; yields its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                speak(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@dataclass
class LabelStudio:
    """Label Studio's doors: uploads need a legacy token, if enabled, or an access token that a personal one gave.

    The personal access token itself opens nothing but `/api/token/refresh/`.
    """

    upload: bytes
    personal: str = field(default_factory=lambda: f"eyJhbGciOi.eyJ0b2tl{secrets.token_hex(8)}.{secrets.token_hex(8)}")
    legacy: str = ""
    access: str = ""
    refreshes: int = 0

    def expire(self) -> None:
        """The access tokens given so far open nothing any more."""
        self.access = ""

    def answer(self, asked: Asked) -> Reply:
        if asked.method == "POST" and asked.path == "/api/token/refresh/":
            return self._refresh(asked)
        allowed = {f"Bearer {self.access}"} if self.access else set()
        allowed |= {f"Token {self.legacy}"} if self.legacy else set()
        if asked.authorization not in allowed:
            return Reply(401, b'{"detail": "Authentication credentials were not provided."}')
        return Reply(200, self.upload)

    def _refresh(self, asked: Asked) -> Reply:
        self.refreshes += 1
        if json.loads(asked.body) != {"refresh": self.personal}:
            return Reply(401, b'{"detail": "Token is invalid"}')
        self.access = f"eyJhY2Nlc3M.{secrets.token_hex(8)}.{secrets.token_hex(8)}"
        return Reply(200, json.dumps({"access": self.access}).encode())


@dataclass
class CloudStudio:
    """Label Studio with an import storage: it opens its project's URIs for a task, as 1.23.2 does.

    Attributes:
        token: the legacy token that must come.
        files: the storage's files by URI.
        signed: where the signed addresses are, or empty: then Label Studio brings the bytes itself.
        task: the project's one task.
        bucket: the storage's; of others Label Studio knows nothing.
    """

    token: str
    files: dict[str, bytes]
    signed: str = ""
    task: str = "7"
    bucket: str = "s3://bucket/"

    def answer(self, asked: Asked) -> Reply:
        parts = urlsplit(asked.path)
        if asked.authorization != f"Token {self.token}":
            return Reply(401)
        uri = base64.urlsafe_b64decode(parse_qs(parts.query)["fileuri"][0]).decode()
        if parts.path != f"/tasks/{self.task}/presign/" or not uri.startswith(self.bucket):
            return Reply(404)
        if self.signed:
            key = base64.urlsafe_b64encode(uri.encode()).decode()
            return Reply(303, b"", {"Location": f"{self.signed}/{key}?X-Amz-Signature=secret"})
        return Reply(200, self.files[uri]) if uri in self.files else Reply(424, b'{"error": "Storage stream failed"}')

    def store(self, asked: Asked) -> Reply:
        """The storage's own answer to a signed address; like S3, it takes no second kind of permission beside it."""
        parts = urlsplit(asked.path)
        if asked.authorization or parts.query != "X-Amz-Signature=secret":
            return Reply(400, b"<Code>InvalidArgument</Code>")
        uri = base64.urlsafe_b64decode(parts.path.removeprefix("/")).decode()
        return Reply(200, self.files[uri]) if uri in self.files else Reply(403, b"<Code>AccessDenied</Code>")
