"""The bytes of one request, until it has arrived whole.

h11 says where a request ends; gunicorn, which has parsed none of it yet, reads the same bytes again from memory. Should
the two ever disagree, gunicorn finds the end of its input, and the connection is closed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import h11

MOST_HEADER_BYTES = 64 * 1024
_HEADER_SECONDS = 10.0
_HELD_BODIES = 4
_LEAST_HELD = 64 * 1024**2
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Terms:
    """How much of requests is taken, and for how long it is waited for.

    Attributes:
        limit: the most bytes of a body, by the path that it is sent to.
        body_seconds: for all of a body.
    """

    limit: Callable[[str], int]
    body_seconds: float

    @property
    def header_seconds(self) -> float:
        """For all headers of a request, and for the first byte on a new connection."""
        return min(_HEADER_SECONDS, self.body_seconds)

    @property
    def most_held(self) -> int:
        """Bytes of all requests that are not answered yet, together."""
        return max(_LEAST_HELD, _HELD_BODIES * self.limit("/predict"))


class Receipt:
    """Takes in one request.

    Attributes:
        pieces: its bytes in order, until they are taken.
        nbytes: how many there are.
        rest: what came behind it, the beginning of the next one.
        has_headers: all of its headers are there.
        is_ready: nothing more is to be fed: the request is whole, or can be refused as it is.
        is_whole: all of it is there.
    """

    def __init__(self, terms: Terms) -> None:
        self._limit = terms.limit
        self._reader = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEADER_BYTES)
        self._most = 0
        self._body = 0
        self._left = 0  # of a body whose length is known
        self.pieces: list[bytearray] = []
        self.nbytes = 0
        self.rest = b""
        self.has_headers = False
        self.is_ready = False
        self.is_whole = False

    def feed(self, data: bytes) -> None:
        """Take in what has arrived; to be called until `is_ready`."""
        if self._left:
            self._count(data)
        else:
            self._read(data)

    def taken(self) -> Iterator[Any]:
        """The bytes in pieces, each given up as soon as it is read; gunicorn looks for headers in `bytes` alone."""
        if self.pieces:
            yield bytes(self.pieces.pop(0))
        while self.pieces:
            yield self.pieces.pop(0)

    @property
    def wants_to_continue(self) -> bool:
        """Whether the client waits for a word before it sends the body (`Expect: 100-continue`)."""
        return self._reader.they_are_waiting_for_100_continue

    def _read(self, data: bytes) -> None:
        """Headers, and a body in chunks."""
        self._reader.receive_data(data)
        try:
            while not (self.is_ready or self._left) and (event := self._reader.next_event()) is not h11.NEED_DATA:
                self._note(event)
        except h11.RemoteProtocolError:
            self.is_ready = True
        behind = self._reader.trailing_data[0] if self._left else self.rest
        self._keep(data[: len(data) - len(behind)])
        if self._left:
            self.pieces.append(bytearray())
            self._count(behind)

    def _count(self, data: bytes) -> None:
        """A body whose length is known, in the pieces in which gunicorn takes it: so it copies them least."""
        body = memoryview(data)[: self._left]
        self._left -= len(body)
        self.nbytes += len(body)
        self.is_ready = self.is_whole = not self._left
        self.rest = bytes(data[len(body) :])
        while body:
            if len(self.pieces[-1]) == _PIECE:
                self.pieces.append(bytearray())
            room = _PIECE - len(self.pieces[-1])
            self.pieces[-1] += body[:room]
            body = body[room:]

    def _note(self, event: object) -> None:
        if isinstance(event, h11.Request):
            self.has_headers = True
            self._most = self._limit(unquote(event.target.decode("latin-1").partition("?")[0]))
            length = _length(event)
            self.is_ready = length > self._most
            self._left = 0 if self.is_ready or _is_in_chunks(event) else length
        elif isinstance(event, h11.Data):
            self._body += len(event.data)
            self.is_ready = self._body > self._most
        elif isinstance(event, h11.EndOfMessage):
            self.is_ready = self.is_whole = True
            self.rest = bytes(self._reader.trailing_data[0])

    def _keep(self, data: bytes) -> None:
        """In pieces of some size: a client that sends single bytes must not take many times their memory."""
        if not self.pieces or len(self.pieces[-1]) >= _PIECE:
            self.pieces.append(bytearray())
        self.pieces[-1] += data
        self.nbytes += len(data)


def _is_in_chunks(request: h11.Request) -> bool:
    return any(name == b"transfer-encoding" for name, _ in request.headers)


def _length(request: h11.Request) -> int:
    """What the request says that its body has; 0 where it does not say."""
    return next((int(value) for name, value in request.headers if name == b"content-length"), 0)
