"""A server as a child process: started, waited for, and stopped again whatever happens in between."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import requests

LOOPBACK = "127.0.0.1"
STOP_SECONDS = 10.0


class ServerError(RuntimeError):
    """A server that can't be started, or that stopped; the message says why and what to do."""


@dataclass(frozen=True)
class Server:
    """How to start one server, in what whole environment, and when it is ready: `ready_url` answers 200."""

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str]
    ready_url: str
    log: Path
    start_seconds: float


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, variable: str) -> None:
    """Raise ServerError, naming the environment variable that chooses another port, when `port` is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            remedy = f"Stop what listens there, or choose another port: {variable}=..."
            raise ServerError(f"Port {port} is taken ({error.strerror}). {remedy}") from error


def interrupt_on_terminate() -> None:
    """Let SIGTERM unwind this process as Ctrl+C does, so that the children are stopped then too."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@contextlib.contextmanager
def running(server: Server) -> Iterator[subprocess.Popen[bytes]]:
    """Start `server`, yield its process once it is ready, and stop it with all its children at the end."""
    server.log.parent.mkdir(parents=True, exist_ok=True)
    with server.log.open("wb") as log:
        # A session of its own: Ctrl+C reaches us alone, and one signal reaches every process that the server started.
        process = subprocess.Popen(
            [str(part) for part in server.command],
            env=dict(server.environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(server, process)
        yield process
    finally:
        _stop(process)


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + server.start_seconds
    while not _answers(server.ready_url):
        if process.poll() is not None:
            raise ServerError(f"{server.name} stopped with exit code {process.returncode}.\n{_tail(server.log)}")
        if time.monotonic() > deadline:
            raise ServerError(f"{server.name} wasn't ready after {server.start_seconds:.0f} s.\n{_tail(server.log)}")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    with contextlib.suppress(requests.RequestException), requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=5).status_code == requests.codes.ok
    return False


def _tail(log: Path, lines: int = 15) -> str:
    text = log.read_text(errors="replace").splitlines()
    return "\n".join([f"The end of {log}:", *text[-lines:]])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and its group: politely, then not."""
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _signal_group(process, signal.SIGKILL)  # also for a child that outlived its parent
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
