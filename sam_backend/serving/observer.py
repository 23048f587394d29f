"""Gives each request an id, counts and times it, and logs it in one line."""

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from sam_backend import logs, metrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)


class Observer:
    """WSGI middleware around an application that answers whole bodies, not streams."""

    def __init__(self, app: "WSGIApplication", endpoints: Iterable[str]) -> None:
        self._app = app
        self._endpoints = frozenset(endpoints)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        started = time.perf_counter()
        with logs.traced() as trace:
            status, start = _noting(start_response, trace.request_id)
            try:
                return self._app(environ, start)
            finally:
                self._report(environ, trace, status, time.perf_counter() - started)

    def _report(self, environ: "WSGIEnvironment", trace: logs.Trace, status: list[str], seconds: float) -> None:
        path = environ.get("PATH_INFO", "")
        code = int(status[0].split()[0]) if status else 500
        metrics.count_request(path if path in self._endpoints else "other", code, seconds)
        logger.log(
            logging.DEBUG if path in ("/health", "/metrics") else logging.INFO,
            "%s %s %d in %.1fms, %s: %s",
            environ.get("REQUEST_METHOD", "-"),
            path,
            code,
            seconds * 1000,
            trace.subject,
            logs.stages(trace),
        )


def _noting(start_response: "StartResponse", request_id: str) -> tuple[list[str], "StartResponse"]:
    seen: list[str] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        seen[:] = [status]
        return start_response(status, [*headers, ("X-Request-ID", request_id)], exc_info)

    return seen, start
