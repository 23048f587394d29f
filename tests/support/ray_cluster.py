"""A Ray cluster of several nodes on this machine, of which nothing is left afterwards, and that reports to nobody."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

ADDRESS = "127.0.0.2"  # Ray takes 127.0.0.1 for the machine's address in its network
NODE = {"num_cpus": 1, "object_store_memory": 80 * 1024**2, "include_dashboard": False, "node_ip_address": ADDRESS}


@contextmanager
def running(nodes: int) -> Iterator[Any]:
    """A `ray.cluster_utils.Cluster` with so many nodes of one CPU each, the head included."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # a socket's path must be short
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(folder))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_USAGE_STATS_REPORT_URL", "http://127.0.0.1:9/")  # it would report that it does not report
        from ray.cluster_utils import Cluster

        cluster = Cluster()
        try:
            for _ in range(nodes):
                cluster.add_node(**NODE)
            yield cluster
        finally:
            cluster.shutdown()
            _end(folder)
            shutil.rmtree(folder, ignore_errors=True)


def _end(folder: Path, seconds: float = 30) -> None:
    """Wait until the processes of the cluster in this folder have ended, and kill those that don't."""
    end = time.monotonic() + seconds
    while (left := list(processes(folder))) and time.monotonic() < end:
        time.sleep(0.1)
    for process in left:
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)


def processes(folder: Path) -> Iterator[int]:
    """The processes that were started with this folder in their environment; this one was not."""
    mark = f"RAY_TMPDIR={folder}\0".encode()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            if mark in (path / "environ").read_bytes():
                yield int(path.name)
