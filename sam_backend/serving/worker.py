"""gunicorn's worker with threads, but for one thing: a request takes a thread only when it has arrived whole.

gunicorn's own reads headers and body in a thread that blocks, for as long as it takes: as many clients as there are
threads, each sending a byte now and then, would hold them all. Here the main loop receives, and never waits; a client
that is too slow is answered with 408. Of requests that are not answered yet, only so many bytes are held.

`docs/decisions/0027-slow-clients.md` says why.
"""

import errno
import functools
import logging
import selectors
import socket
import time
from concurrent.futures import Future
from typing import Any

import orjson
from gunicorn import http
from gunicorn.workers.gthread import TConn

from sam_backend import metrics
from sam_backend.errors import BusyError, SamBackendError, SlowRequestError
from sam_backend.logs import describe
from sam_backend.serving.answers import as_json
from sam_backend.serving.draining import DrainingWorker
from sam_backend.serving.receipt import Receipt, Terms

logger = logging.getLogger(__name__)

_LINGER_SECONDS = 2.0  # for a client to read its answer before the connection is gone
_LINGER_BYTES = 16 * 1024**2
_STOP_SECONDS = 2.0  # for a request that is under way on a kept connection while the worker stops
_LOOK_SECONDS = 0.25
_STEP = 1024 * 1024
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PASSING = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED, errno.EINTR)


class Connection(TConn):
    """A client's connection, with the request that is arriving on it."""

    def __init__(self, terms: Terms, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.terms = terms
        self.data_ready = True  # no thread is to wait for it
        self.receipt = Receipt(terms)
        self.deadline = 0.0
        self.is_ending = False
        self.left_to_drain = _LINGER_BYTES

    def init(self) -> None:
        """Called by the thread that answers: the request is read from memory, the answer has to be taken in time."""
        self.sock.settimeout(self.terms.body_seconds)
        self.parser = http.get_parser(self.cfg, self.receipt.taken(), self.client)


class Worker(DrainingWorker):
    """The application's `terms` say how much it takes, and for how long it waits."""

    def init_process(self) -> None:
        """As gunicorn's."""
        self._terms: Terms = self.app.terms  # type: ignore[attr-defined] # it is our own application
        self._waiting: dict[Connection, None] = {}  # those that the main loop reads from, those there longest first
        self._held = 0
        self._looked = 0.0
        super().init_process()

    # ------------------------------------------------------------------- what gunicorn calls, all in the main thread

    def accept(self, listener: socket.socket) -> None:
        """Take a connection, and read from it here; a thread has no part in it yet."""
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno in _FULL:
                self._make_room()
            elif error.errno not in _PASSING:
                raise
            return
        self.nr_conns += 1
        conn = Connection(self._terms, self.cfg, sock, client, listener.getsockname())
        self._wait(conn, self._terms.header_seconds)
        if self.nr_conns >= self.worker_connections:
            self._make_room()

    def finish_request(self, conn: Any, fs: "Future[bool]") -> None:
        """The request was answered: wait for the next one, or for the client to hang up."""
        whole, rest = conn.receipt.is_whole, conn.receipt.rest
        self._release(conn)
        try:
            self._wait(conn, self.cfg.keepalive if self.alive else _STOP_SECONDS)
        except (OSError, ValueError):  # gunicorn has closed it after an error in the middle of an answer
            self.nr_conns -= 1
            return
        if fs.cancelled() or fs.exception() or not fs.result() or not whole:
            self._end(conn)
        elif rest:
            self._feed(conn, rest)

    def murder_pending(self) -> None:
        """Send away who is too slow."""
        now = time.monotonic()
        if now < self._looked + _LOOK_SECONDS:
            return
        self._looked = now
        for conn in [one for one in self._waiting if one.deadline <= now]:
            if conn.is_ending or not conn.receipt.nbytes:
                self._drop(conn)
            else:
                self._refuse(conn, _too_slow(conn))

    def murder_keepalived(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - gunicorn's signature
        """Close all connections at the end; until then `murder_pending` does."""
        for conn in list(self._waiting) if force else ():
            self._drop(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        for conn in self._waiting:
            if not conn.receipt.nbytes:
                conn.deadline = min(conn.deadline, deadline)

    # --------------------------------------------------------------------------------------- in a thread of the pool

    def handle_request(self, req: Any, conn: TConn) -> bool:
        """Answer; a client that does not take its answer holds a thread for so long and no longer."""
        try:
            return super().handle_request(req, conn)
        except TimeoutError:
            logger.warning("A client did not take its answer within %g seconds.", self._terms.body_seconds)
            return False

    # ------------------------------------------------------------------------------------------------ the main loop

    def _wait(self, conn: Connection, seconds: float) -> None:
        conn.sock.setblocking(False)
        conn.deadline = time.monotonic() + seconds
        self.poller.register(conn.sock, selectors.EVENT_READ, functools.partial(self._on_readable, conn))
        self._waiting[conn] = None

    def _on_readable(self, conn: Connection, sock: socket.socket) -> None:
        try:
            data = sock.recv(_STEP)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if conn.is_ending:
            conn.left_to_drain -= len(data)
        if not data or conn.left_to_drain <= 0:
            self._drop(conn)
        elif not conn.is_ending:
            self._feed(conn, data)

    def _feed(self, conn: Connection, data: bytes) -> None:
        receipt = conn.receipt
        had_headers, before = receipt.has_headers, receipt.nbytes
        receipt.feed(data)
        self._held += receipt.nbytes - before
        if receipt.is_ready:
            self._forget(conn)
            self.enqueue_req(conn)
        elif receipt.has_headers and not had_headers:
            conn.deadline = time.monotonic() + self._terms.body_seconds
            if receipt.wants_to_continue:
                _send(conn, b"HTTP/1.1 100 Continue\r\n\r\n")
        elif not before:
            conn.deadline = time.monotonic() + self._terms.header_seconds
        if self._held > self._terms.most_held:
            self._relieve()

    def _relieve(self) -> None:
        """Refuse the largest request that is still arriving."""
        arriving = [conn for conn in self._waiting if conn.receipt.nbytes]
        if arriving:
            largest = max(arriving, key=lambda conn: conn.receipt.nbytes)
            self._refuse(largest, BusyError("Too many large requests arrive at once.", "Try again in a moment."))

    def _make_room(self) -> None:
        """Close the connection on which a request has been waited for longest."""
        if self._waiting:
            logger.warning("There are too many connections; the one that idles longest is closed.")
            self._drop(next(iter(self._waiting)))

    def _refuse(self, conn: Connection, error: SamBackendError) -> None:
        metrics.count_error(error)
        logger.warning("%s (%s)", describe(error), _peer(conn))
        _send(conn, _answer(error))
        self._end(conn)

    def _end(self, conn: Connection) -> None:
        """Say no more, and wait a little until the other side has read all and hangs up too (RFC 9112, 9.6)."""
        self._release(conn)
        conn.is_ending = True
        conn.deadline = time.monotonic() + _LINGER_SECONDS
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)

    def _drop(self, conn: Connection) -> None:
        self._release(conn)
        self._forget(conn)
        self.nr_conns -= 1
        conn.close()

    def _release(self, conn: Connection) -> None:
        self._held -= conn.receipt.nbytes
        conn.receipt = Receipt(self._terms)

    def _forget(self, conn: Connection) -> None:
        self.poller.unregister(conn.sock)
        del self._waiting[conn]


def _peer(conn: Connection) -> str:
    return str(conn.client[0]) if isinstance(conn.client, tuple) else "-"


def _too_slow(conn: Connection) -> SlowRequestError:
    what = "body" if conn.receipt.has_headers else "headers"
    seconds = conn.terms.body_seconds if conn.receipt.has_headers else conn.terms.header_seconds
    return SlowRequestError(
        f"The request's {what} did not arrive within {seconds:g} seconds.",
        "Check the network, or raise SAM_BODY_SECONDS.",
    )


def _answer(error: SamBackendError) -> bytes:
    body = orjson.dumps(as_json(error))
    again = "Retry-After: 1\r\n" if isinstance(error, BusyError) else ""
    head = f"HTTP/1.1 {error.status} {type(error).__name__}\r\nContent-Type: application/json\r\n{again}"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def _send(conn: Connection, data: bytes) -> None:
    """Send so little that it fits into an empty buffer; who does not read gets nothing."""
    try:
        conn.sock.send(data)
    except OSError:
        logger.debug("A client that is refused is gone already.")
