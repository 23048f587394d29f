"""HAProxy in front of several services, with this repository's own configuration, on a port of loopback."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.support.service import ending, free_port

PROGRAM = "haproxy"
CONFIG = Path(__file__).parents[2] / "deploy" / "haproxy.cfg"
_BIND = "bind :9090\n"
_NAME_SERVER = "nameserver dns 127.0.0.11:53\n"
_REPLICAS = "server-template backend 20 backend:9090 resolvers docker resolve-prefer ipv4 init-addr none\n"


@contextmanager
def balancing(folder: Path, urls: Sequence[str]) -> Iterator[str]:
    """The address of one that deals requests out to these, while inside; they are named, not found."""
    servers = "\n".join(f"    server backend{index} {url.removeprefix('http://')}" for index, url in enumerate(urls))
    with _running(folder, {_REPLICAS: servers.strip() + "\n"}) as url:
        yield url


@contextmanager
def discovering(folder: Path, name_server: int, port: int) -> Iterator[str]:
    """The same, where the name server on a port of loopback says which addresses have a replica, all on one port."""
    name = _NAME_SERVER.replace("127.0.0.11:53", f"127.0.0.1:{name_server}")
    with _running(folder, {_NAME_SERVER: name, _REPLICAS: _REPLICAS.replace(":9090", f":{port}")}) as url:
        yield url


@contextmanager
def _running(folder: Path, changes: dict[str, str]) -> Iterator[str]:
    """With these lines of the configuration changed, and where it listens."""
    program = shutil.which(PROGRAM, path=f"{os.environ['PATH']}:/usr/sbin")  # which not everybody's PATH has
    if program is None:
        pytest.fail(f"{PROGRAM} is not installed; `make test` installs it, or: apt-get install {PROGRAM}")
    port = free_port()
    text = CONFIG.read_text("utf-8")
    for line, instead in (changes | {_BIND: f"bind 127.0.0.1:{port}\n"}).items():
        assert text.count(line) == 1, line
        text = text.replace(line, instead)
    config, log_file = folder / "haproxy.cfg", folder / "haproxy.log"
    config.write_text(text, "utf-8")
    with log_file.open("wb") as log:
        process = subprocess.Popen([program, "-W", "-db", "-f", str(config)], stdout=log, stderr=subprocess.STDOUT)
    with ending(process, 10):
        _wait(f"http://127.0.0.1:{port}", log_file)
        yield f"http://127.0.0.1:{port}"


def _wait(url: str, log_file: Path) -> None:
    """Until a replica behind it is ready."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if requests.get(f"{url}/ready", timeout=5).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.05)
    pytest.fail(f"{PROGRAM} has no replica that is ready: {log_file.read_text()}")
