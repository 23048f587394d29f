"""urllib3's connections, with a gate before them and a deadline over them.

Where a connection goes is decided here, and not by a look at the name before: a name may have another address the next
time it is looked up. It is looked up once, and what is connected to is an address that the gate has seen. TLS goes by
the name, as ever.
"""

import contextlib
import functools
import http.client
import io
import socket
import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family, create_connection

from sam_backend.labelstudio.networks import Gate

_LEAST = 0.001
"""Seconds: a socket with a timeout of zero does not wait at all, which is another thing."""


class Adapter(HTTPAdapter):
    """Puts the connections below in place of urllib3's. A proxy is the operator's: no gate is before it.

    Args:
        gate: before all others.
        pool_maxsize: connections to keep to each host.
    """

    def __init__(self, gate: Gate, pool_maxsize: int) -> None:
        self._gate = gate
        super().__init__(pool_maxsize=pool_maxsize)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Connections go through the gate."""
        super().init_poolmanager(*args, **options)
        _install(self.poolmanager, self._gate)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """Connections to a proxy go through none."""
        return _install(super().proxy_manager_for(*args, **options), None)


def check_unresolved(host: str, gate: Gate) -> None:
    """Look at a host that a proxy resolves: a name cannot be looked up here, an address can be seen in any spelling.

    Raises:
        ImageUrlError: it is an address that is not admitted.
    """
    known = "127.0.0.1" if host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost") else host
    try:
        found = socket.getaddrinfo(known, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return
    _admitted(host, found, gate)


def _admitted(host: str, found: list[Any], gate: Gate) -> list[str]:
    """Those addresses of the resolver's answer that the gate admits, each once.

    Raises:
        ImageUrlError: none.
    """
    addresses = list(dict.fromkeys(str(socket_address[0]) for *_, socket_address in found))
    admitted = [address for address in addresses if gate.admits(address)]
    if not admitted:
        raise gate.refusal(host, addresses[0])
    return admitted


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


class _Gated(HTTPConnection):
    response_class = _Answer

    def __init__(self, *args: Any, gate: Gate | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._gate = gate

    def _new_conn(self) -> socket.socket:
        if self._gate is None:
            return super()._new_conn()
        try:
            return self._through(self._gate)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"{self.host} does not answer.") from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error

    def _through(self, gate: Gate) -> socket.socket:
        """A connection to the first address that takes one; they share the time.

        Raises:
            ImageUrlError: the gate admits none of the host's addresses.
        """
        host = self._dns_host.strip("[]")
        end = time.monotonic() + self.timeout if isinstance(self.timeout, float | int) else None
        found = socket.getaddrinfo(host, self.port, allowed_gai_family(), socket.SOCK_STREAM)
        *others, last = _admitted(host, found, gate)
        for address in others:
            with contextlib.suppress(OSError):
                return self._connected(address, end)
        return self._connected(last, end)

    def _connected(self, address: str, end: float | None) -> socket.socket:
        left = None if end is None else max(end - time.monotonic(), _LEAST)
        return create_connection((address, self.port), left, self.source_address, self.socket_options)


class _GatedTls(_Gated, HTTPSConnection):
    """The same with TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Gated


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _GatedTls


def _install(manager: PoolManager, gate: Gate | None) -> PoolManager:
    pools: Any = {"http": functools.partial(_Pool, gate=gate), "https": functools.partial(_TlsPool, gate=gate)}
    manager.pool_classes_by_scheme = pools
    return manager
