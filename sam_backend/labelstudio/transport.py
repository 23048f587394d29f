"""HTTP with a deadline for the whole answer, and with errors of our own.

`requests` limits each read, not their sum: a server that sends a byte a second could hold a thread for days. Here a
connection's timeout counts from the request to the answer's last byte. What no timeout can bound is the system's
resolver, which has limits of its own.
"""

import http.client
import io
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ProtocolError

from sam_backend.errors import ImageTimeoutError, ImageTooLargeError, ImageUnavailableError
from sam_backend.labelstudio.addresses import shown

_CHUNK = 64 * 1024


class Deadline:
    """A moment that several steps share, counted from now."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """No time is left."""
        return time.monotonic() >= self._end

    def remaining(self) -> float:
        """Seconds left, more than zero.

        Raises:
            ImageTimeoutError: none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.error()
        return left

    def error(self) -> ImageTimeoutError:
        """What to raise when a server was too slow."""
        return ImageTimeoutError(
            f"The image did not arrive within {self._seconds:g} seconds.",
            "Check the image's server, or raise SAM_IMAGE_TIMEOUT.",
        )


class Http:
    """Sends requests, keeps connections; follows no redirects, keeps no cookies, reads no .netrc. Threads share it."""

    def __init__(self) -> None:
        self._adapter = _Adapter(pool_maxsize=32)
        self._environment = requests.Session()

    @contextmanager
    def answer(
        self, url: str, headers: Mapping[str, str], deadline: Deadline, json: Any = None
    ) -> Iterator[requests.Response]:
        """The answer to a GET, or to a POST of `json`; its body is not read yet, and closed at the end.

        Raises:
            ImageTimeoutError: the deadline is over, here or inside the `with` block.
            ImageUnavailableError: no connection, or it broke, here or inside the `with` block.
        """
        request = requests.Request("GET" if json is None else "POST", url, headers=dict(headers), json=json).prepare()
        try:
            with self._send(request, deadline) as response:
                yield response
        except (requests.RequestException, HTTPError, OSError, UnicodeError) as error:
            if isinstance(error, requests.Timeout) or deadline.is_over:
                raise deadline.error() from error
            raise ImageUnavailableError(
                f"There is no connection to {shown(url)}: {_cause(error)}.", "Check the address and the network."
            ) from error

    def _send(self, request: requests.PreparedRequest, deadline: Deadline) -> requests.Response:
        """Send, and once more when a kept connection turns out to be closed by the server."""
        options: dict[str, Any] = {}  # proxies and certificates, which requests takes from the environment
        options.update(self._environment.merge_environment_settings(str(request.url), {}, True, None, None))
        for is_last in (False, True):
            options["timeout"] = Timeout(total=deadline.remaining())
            try:
                return self._adapter.send(request, **options)
            except requests.ConnectionError as error:
                is_closed = bool(error.args) and isinstance(error.args[0], ProtocolError)
                if is_last or not is_closed:
                    raise
        raise AssertionError


def read(response: requests.Response, max_bytes: int) -> bytes:
    """The decoded body.

    Raises:
        ImageTooLargeError: it says that it has more than `max_bytes`, or has.
    """
    length = response.headers.get("Content-Length", "")
    body = bytearray()
    if not (length.isdecimal() and int(length) > max_bytes):
        for chunk in response.iter_content(_CHUNK):
            body += chunk
            if len(body) > max_bytes:
                break
        else:
            return bytes(body)
    raise ImageTooLargeError(
        f"The image has more than {max_bytes} bytes.", "Make it smaller, or raise SAM_MAX_IMAGE_BYTES."
    )


def _cause(error: BaseException) -> str:
    """The first error of the chain, in one line: the system's own words, not the libraries' names for it."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return f"{str(error) or type(error).__name__}".splitlines()[0]


class _Reader(io.RawIOBase):
    """Reads from a socket until its timeout, counted from now, is over."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        timeout = sock.gettimeout()
        self._end = None if timeout is None else time.monotonic() + timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._end is not None:
            left = self._end - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer took too long")
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _Answer


class _TlsConnection(HTTPSConnection):
    response_class = _Answer


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """Puts the connections above in place of urllib3's."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        _install(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        return _install(super().proxy_manager_for(*args, **options))


def _install(manager: PoolManager) -> PoolManager:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager
