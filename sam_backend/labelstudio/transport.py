"""HTTP with a deadline for the whole answer, and with errors of our own.

`requests` limits each read, not their sum: a server that sends a byte a second could hold a thread for days. Here a
connection's timeout counts from the request to the answer's last byte. What no timeout can bound is the system's
resolver, which has limits of its own.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.utils import select_proxy
from urllib3 import Timeout
from urllib3.exceptions import HTTPError, ProtocolError

from sam_backend.errors import ImageTimeoutError, ImageTooLargeError, ImageUnavailableError
from sam_backend.labelstudio import connections
from sam_backend.labelstudio.addresses import shown
from sam_backend.labelstudio.networks import Gate

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
    """Sends requests, keeps connections; follows no redirects, keeps no cookies, reads no .netrc. Threads share it.

    Args:
        gate: which addresses it connects to.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._adapter = connections.Adapter(gate, pool_maxsize=32)
        self._environment = requests.Session()

    @contextmanager
    def answer(
        self, url: str, headers: Mapping[str, str], deadline: Deadline, json: Any = None
    ) -> Iterator[requests.Response]:
        """The answer to a GET, or to a POST of `json`; its body is not read yet, and closed at the end.

        Raises:
            ImageUrlError: the gate admits none of the host's addresses.
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
        if select_proxy(str(request.url), options["proxies"]):
            connections.check_unresolved(urlsplit(str(request.url)).hostname or "", self._gate)
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
