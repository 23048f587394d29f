"""A real Redis, of this machine's own, which listens on a socket in a folder and nowhere else."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

PROGRAM = "redis-server"


@dataclass
class RedisServer:
    """One that can be killed and started again; what it held is lost then.

    Attributes:
        folder: where its socket is.
    """

    folder: Path
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def url(self) -> str:
        """Its address."""
        return f"unix://{self.folder / 'redis'}"

    @property
    def client(self) -> Redis:
        """A way to look into it."""
        return Redis.from_url(self.url)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = shutil.which(PROGRAM)
        if program is None:
            pytest.fail(f"{PROGRAM} is not installed; `make test` installs it, or: apt-get install redis-server")
        command = [
            program,
            "--port",
            "0",
            "--unixsocket",
            str(self.folder / "redis"),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self._process = subprocess.Popen([*command, "--dir", str(self.folder)], stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                self.client.ping()
            except RedisError:
                time.sleep(0.02)
            else:
                return
        pytest.fail("Redis did not start.")

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@contextmanager
def serving(folder: Path) -> Iterator[RedisServer]:
    """A Redis that runs while inside."""
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
