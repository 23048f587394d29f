"""The serving process: gunicorn, one worker with threads, started from Python."""

import functools
import logging
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from sam_backend import __version__, logs
from sam_backend.errors import PortTakenError
from sam_backend.segmenter import Segmenter
from sam_backend.serving.receipt import Terms
from sam_backend.serving.worker import Worker
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

_BACKLOG = 128
_CONNECTIONS = 464  # that wait for a thread, or for their next request; with the default threads, 512 in all
_SPARE = 8  # threads for what is no click, however many clicks wait


def run(settings: Settings, create_app: Callable[[Settings], Flask], limit: Callable[[Settings, str], int]) -> None:
    """Serve until a signal says to stop.

    What can be wrong is found before anything is started. The application is made in the worker, after the fork:
    OpenVINO's threads would not survive one.

    Args:
        settings: host, port, threads, and what the application takes from them.
        create_app: makes the application.
        limit: the most bytes of a body, by its path.

    Raises:
        StartError: the port is taken, or the model cannot be used.
    """
    logs.configure(settings.log_level)
    model = Segmenter(settings).model_version
    listener = listen(settings.host, settings.port).detach()  # gunicorn closes it
    logger.info(
        "sam-backend %s on http://%s:%d with %s on %s.",
        __version__,
        f"[{settings.host}]" if ":" in settings.host else settings.host,
        settings.port,
        model,
        settings.device,
    )
    _Server(settings, create_app, limit, listener).run()


def listen(host: str, port: int) -> socket.socket:
    """Take the port now: gunicorn itself would try for seconds, then give up without a word that helps.

    Raises:
        PortTakenError: it cannot be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise PortTakenError(
            f"Cannot listen on {host}:{port}: {error.strerror}.", "Set PORT (or SAM_HOST) to another one."
        ) from None
    return listener


class _Server(BaseApplication):
    def __init__(
        self,
        settings: Settings,
        create_app: Callable[[Settings], Flask],
        limit: Callable[[Settings, str], int],
        listener: int,
    ) -> None:
        self._settings = settings
        self.terms = Terms(functools.partial(limit, settings), settings.body_seconds)
        self._create_app = create_app
        self._listener = listener
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options().items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._create_app(self._settings)

    def _options(self) -> dict[str, Any]:
        threads = self._settings.threads + self._settings.click_queue + _SPARE
        return {
            "bind": f"fd://{self._listener}",
            "proc_name": "sam-backend",
            "workers": 1,  # embeddings and the compiled model are shared by all threads of one process
            "worker_class": Worker,
            "threads": threads,
            "worker_connections": threads + _CONNECTIONS,
            # The worker's main thread says that it lives, while others encode: this is no limit for a request.
            "timeout": 120,
            "graceful_timeout": 30,
            "keepalive": 75,
            "loglevel": "warning",
            "control_socket_disable": True,
            "post_worker_init": _hasten,
            "worker_exit": _close,
        }


def _hasten(worker: Any) -> None:
    """At SIGTERM, answer those who wait for masks with what is ready, instead of when their time is up."""
    labeler = worker.wsgi.extensions["sam_backend"].labeler
    begin = signal.getsignal(signal.SIGTERM)

    def end(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=labeler.close, name="ending").start()  # locks are not for signal handlers
        if callable(begin):
            begin(number, frame)

    signal.signal(signal.SIGTERM, end)


def _close(_arbiter: Any, worker: Any) -> None:
    app = getattr(worker, "wsgi", None)
    if isinstance(app, Flask):
        app.extensions["sam_backend"].close()
