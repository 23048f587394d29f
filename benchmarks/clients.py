"""Who clicks on a server over HTTP: the requests, their answers, and the seconds between."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import requests
from numpy.typing import NDArray

from benchmarks.prompting import iou
from benchmarks.sides import peak_mb
from sam_backend.labelstudio import rle
from tests.support import recordings, scenes
from tests.support.image_host import TOKEN, ImageHost
from tests.support.service import START_SECONDS, ending, free_port, running

Bitmap = NDArray[np.bool_]
Size = tuple[int, int]
ROOT = Path(__file__).parents[1]


@dataclass
class Client:
    """One connection to a server that stays open, as Label Studio's does."""

    url: str
    pid: int
    session: requests.Session = field(default_factory=requests.Session)

    def send(self, body: bytes) -> tuple[float, requests.Response]:
        """Seconds until the whole answer is there, and the answer."""
        started = time.perf_counter()
        response = self.session.post(f"{self.url}/predict", data=body, headers=_JSON, timeout=600)
        seconds = time.perf_counter() - started
        assert response.status_code == 200, response.text[:500]
        return seconds, response

    def encodes(self) -> int:
        """How many images the service has encoded so far."""
        lines = self.session.get(f"{self.url}/metrics", timeout=60).text.splitlines()
        return int(sum(float(line.split()[1]) for line in lines if line.startswith("sam_encodes_total")))

    def peak_mb(self) -> float:
        """The peak of memory of the server's processes, in MB."""
        return peak_mb(self.pid) + sum(peak_mb(child) for child in _children(self.pid))


_GUNICORN = ("--workers", "1", "--threads", "8", "--timeout", "0", "--log-level", "warning")
_JSON = {"Content-Type": "application/json"}


def _children(pid: int) -> list[int]:
    file = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in file.read_text().split()] if file.exists() else []


@contextlib.contextmanager
def ours(folder: Path, host: ImageHost, **settings: str) -> Iterator[Client]:
    """Our service while inside."""
    known = {"LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN}
    with running(folder, **known, **settings) as service:
        yield Client(service.url, service.process.pid)


@contextlib.contextmanager
def example(folder: Path, host: ImageHost, architecture: str, seed: int | None) -> Iterator[Client]:
    """The example's path while inside, under gunicorn as its image starts it."""
    port = free_port()
    app = f"benchmarks.example_backend:serve({architecture!r}, {seed!r}, {str(folder)!r})"
    log = folder / "example.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *_GUNICORN, app],
            cwd=ROOT,
            env=os.environ | {"LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN, "PYTHONPATH": str(ROOT)},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    with ending(process, 20):
        _wait(f"http://127.0.0.1:{port}/health", process, log)
        yield Client(f"http://127.0.0.1:{port}", process.pid)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(url, timeout=60).ok:
                return
        time.sleep(0.2)
    raise RuntimeError(f"The peer did not start: {log.read_text()[-500:]}")


def picture(host: ImageHost, size: Size, seed: int = 0) -> str:
    """Serve a picture of its own for each seed, drawn once; returns its address."""
    address = f"/data/upload/1/{size[1]}x{size[0]}-{seed}.jpg"
    if address not in host.replies:
        host.put(address, scenes.jpeg(scenes.draw(size[1], size[0], scenes.STAGE, seed).rgb))
    return address


def click(address: str, size: Size, places: Sequence[tuple[int, int]], **task: Any) -> bytes:
    """The body of a request: positive clicks on these pixels, (x, y); `task` has what else stands in the task."""
    prompts = [recordings.keypoint(*_percent(place, size), id=f"click-{number}") for number, place in enumerate(places)]
    document = recordings.ask(address, size, *prompts)
    document["tasks"][0] |= task
    return json.dumps(document).encode()


def _percent(place: tuple[int, int], size: Size) -> tuple[float, float]:
    """Percent that still name this pixel when a server cuts the pixels that come of them to whole ones."""
    x, y = (100 * value / length + 1e-9 for value, length in zip(place, size[::-1], strict=True))
    return x, y


def opened(address: str, size: Size) -> bytes:
    """The body of the request that comes when a task is opened."""
    document = json.loads(click(address, size, []))
    document["params"]["context"] = None
    return json.dumps(document).encode()


def streams(response: requests.Response) -> list[list[int]]:
    """The brush streams of an answer."""
    return [region["value"]["rle"] for region in recordings.answered(response)]


def agreement(one: requests.Response, other: requests.Response, size: Size) -> float:
    """IoU of two answers' masks."""
    return iou(_painted(one, size), _painted(other, size))


def _painted(response: requests.Response, size: Size) -> Bitmap:
    masks = [rle.decode(stream, size) for stream in streams(response)]
    return np.logical_or.reduce(masks) if masks else np.zeros(size, np.bool_)
