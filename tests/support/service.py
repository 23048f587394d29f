"""The service as a user runs it: its console script, in a process of its own, on a free port of loopback."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

START_SECONDS = 120
_OURS = ("SAM_", "LABEL_STUDIO_", "BASIC_AUTH_", "PORT")


@dataclass(frozen=True)
class Service:
    """A running service."""

    url: str
    log_file: Path
    process: subprocess.Popen[bytes]

    def log(self) -> str:
        """All that it has written so far."""
        return self.log_file.read_text()

    def workers(self) -> list[int]:
        """The ids of the processes that answer requests, the children of the one that was started."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def metric(self, name: str) -> float:
        """A metric's value, 0 when nobody has counted it yet; `name` as it stands in `/metrics`, labels included."""
        lines = requests.get(f"{self.url}/metrics", timeout=10).text.splitlines()
        found = [line.rsplit(" ", 1)[1] for line in lines if line.rsplit(" ", 1)[0] == name]
        return float(found[0]) if found else 0.0


def command() -> list[str]:
    """The console script that `BACKEND_BIN` names, else this environment's own `sam_backend`."""
    named = os.environ.get("BACKEND_BIN")
    return [named] if named else [sys.executable, "-m", "sam_backend"]


def environment(**settings: str) -> dict[str, str]:
    """The environment without any of our settings but these; the model may be another one than the built-in one.

    The numbers that tests compare are those of f32, whatever this CPU is best at.
    """
    kept = {"SAM_MODEL", "SAM_MODEL_DIR"}
    clean = {name: value for name, value in os.environ.items() if name in kept or not name.startswith(_OURS)}
    return clean | {"SAM_PRECISION": "f32"} | settings


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(folder: Path, **settings: str) -> Iterator[Service]:
    """Run the service while inside; it has loaded its model. Its log stands in `folder`."""
    service = start(folder, free_port(), **settings)
    with ending(service.process, 40):
        _wait(service)
        yield service


def start(folder: Path, port: int, **settings: str) -> Service:
    """Start the service as the leader of a process group of its own; returns at once. Its log grows in `folder`."""
    log_file = folder / f"service-{port}.log"
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [*command(), "serve"],
            env=environment(PORT=str(port), **settings),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Service(f"http://127.0.0.1:{port}", log_file, process)


@contextlib.contextmanager
def ending(process: "subprocess.Popen[bytes]", seconds: float) -> Iterator[None]:
    """End a process after this, whatever happens inside: it is asked to, and after so many seconds it is killed."""
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        finally:
            process.kill()


def _wait(service: Service) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(requests.ConnectionError):
            health = requests.get(f"{service.url}/health", timeout=10)
            if health.ok and health.json()["model_loaded"]:
                return
            if not health.ok:
                break
        if service.process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"The service did not start:\n{service.log()}")
