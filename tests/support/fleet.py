"""Several services that a supervisor starts again whenever they end, as containers' restart policies do."""

import itertools
import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

from tests.support.service import START_SECONDS, Service, free_port, start
from tests.support.waiting import until

_LITTLE = 4096
"""Bytes that a file may have while the disk is full: less than an embedding."""


class Fleet:
    """Replicas at addresses that stay.

    Args:
        folder: for their logs.
        count: how many.
        settings: of each.
    """

    def __init__(self, folder: Path, count: int, **settings: str) -> None:
        self._folder = folder
        self._settings = settings
        self._ports = [free_port() for _ in range(count)]
        self._is_full = False
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.services = [start(folder, port, **settings) for port in self._ports]
        self.starts = count
        self._thread = threading.Thread(target=self._supervise)
        self._thread.start()

    @property
    def urls(self) -> list[str]:
        return [service.url for service in self.services]

    def wait(self) -> None:
        """Return once all have loaded their models."""
        for index in range(len(self.services)):
            until(lambda index=index: _is_ready(self.services[index]), START_SECONDS)  # type: ignore[misc]

    def metric(self, name: str) -> float:
        """The sum of a metric of those that answer now."""
        total = 0.0
        for service in list(self.services):
            with suppress(requests.RequestException):
                total += service.metric(name)
        return total

    def kill(self, index: int, what: str) -> None:
        """End a replica at once: its `worker`, its `master` or, as a container's end, its whole `group`.

        `stop` asks it to end, as who brings a new version does.
        """
        process = self.services[index].process
        if what == "worker":
            for worker in self.services[index].workers():
                os.kill(worker, signal.SIGKILL)
        elif what == "master":
            process.kill()
        elif what == "stop":
            process.terminate()
        else:
            os.killpg(process.pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """End all replicas at once; returns when they have been started again."""
        before = self.starts
        for index in range(len(self.services)):
            self.kill(index, "group")
        until(lambda: self.starts == before + len(self.services))

    def fill_disk(self) -> None:
        """From now on no embedding can be written whole."""
        self._is_full = True
        self._limit()

    def empty_disk(self) -> None:
        """There is room again."""
        self._is_full = False
        self._limit()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        for service in self.services:
            with suppress(ProcessLookupError):
                os.killpg(service.process.pid, signal.SIGKILL)
            service.process.wait(10)

    def _supervise(self) -> None:
        while not self._over.wait(0.5):
            for index, port in enumerate(self._ports):
                if self.services[index].process.poll() is not None:
                    self.services[index] = start(self._folder, port, **self._settings)
                    self.starts += 1
            if self._is_full:
                self._limit()

    def _limit(self) -> None:
        with self._lock:
            for service in list(self.services):
                for pid in self._processes(service):
                    with suppress(ProcessLookupError):
                        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                        resource.prlimit(pid, resource.RLIMIT_FSIZE, (_LITTLE if self._is_full else hard, hard))

    @staticmethod
    def _processes(service: Service) -> list[int]:
        with suppress(FileNotFoundError):
            return [service.process.pid, *service.workers()]
        return []


@contextmanager
def supervised(folder: Path, count: int, **settings: str) -> Iterator[Fleet]:
    """A fleet that runs while inside."""
    fleet = Fleet(folder, count, **settings)
    try:
        fleet.wait()
        yield fleet
    finally:
        fleet.close()


def victims(count: int) -> Iterator[tuple[int, str]]:
    """Whom to end next, and how, without an end."""
    return zip(itertools.cycle(range(count)), itertools.cycle(("group", "worker", "stop", "master")))


def _is_ready(service: Service) -> bool:
    with suppress(requests.RequestException):
        return bool(requests.get(f"{service.url}/health", timeout=30).json()["model_loaded"])
    return False
