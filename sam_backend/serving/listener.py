"""Whether somebody still listens for the answer to a request."""

import select
import socket
from collections.abc import Callable, Mapping
from typing import Any


def watch(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """A question for any thread: whether the client of the request of this WSGI environment has hung up."""
    sock = environ.get("gunicorn.socket")
    return (lambda: is_closed(sock)) if isinstance(sock, socket.socket) else lambda: False


def is_closed(sock: socket.socket) -> bool:
    """Whether the other side has closed the connection; nothing is read from it, and nothing waited for."""
    try:
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0)) and sock.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True
