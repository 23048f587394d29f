"""How long a start takes: to the first /health, to a model that is ready, to the first answered click.

    python benchmarks/start.py
    python benchmarks/start.py --starts 9 --json start.json
    SAM_MODEL=vit_b SAM_MODEL_DIR=models python benchmarks/start.py

Starts the service (the built-in model, or SAM_MODEL in SAM_MODEL_DIR) again and again, with an image host of its own on
loopback; a click is sent as soon as /health answers, which waits for the model and for its image's encoding. `warm` is
the same with a SAM_CACHE_DIR that knows the image. The very first start, which reads from disk, is left out.
`import` is what the interpreter needs for `sam_backend --help`, with the modules that take most of it.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import machine
from tests.support import recordings, scenes
from tests.support.image_host import TOKEN, ImageHost, image_host
from tests.support.service import command, environment, free_port

ADDRESS = "/data/upload/1/benchmark"
SIZE = (800, 1200)
PATIENCE = 300.0
SHOWN = 5


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as cache, image_host() as host:
        host.put(ADDRESS, scenes.jpeg(scenes.draw(SIZE[1], SIZE[0], scenes.STAGE).rgb))
        version = _start(host, cache)[1]  # fills the page cache and the folder
        cold = [_start(host)[0] for _ in range(options.starts)]
        warm = [_start(host, cache)[0] for _ in range(options.starts)]
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{machine()}, load {os.getloadavg()[0]:.1f} at the end",
        "model_version": version,
        "starts": options.starts,
        "cold_s": _medians(cold),
        "warm_s": _medians(warm),
        "import_s": statistics.median(_help() for _ in range(options.starts)),
        "imports_ms": _imports(),
    }
    _print(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def _start(host: ImageHost, cache: str = "") -> tuple[dict[str, float], str]:
    """Seconds from the command to each event, and the model's version."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {"PORT": str(port), "LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN, "SAM_CACHE_DIR": cache}
    body = json.dumps(recordings.ask(ADDRESS, SIZE, recordings.keypoint(50, 50)))
    started = time.perf_counter()
    service = subprocess.Popen([*command(), "serve"], env=environment(**settings), stderr=subprocess.DEVNULL)
    try:
        health = _until(lambda: requests.get(f"{url}/health", timeout=PATIENCE))
        seconds = {"health": time.perf_counter() - started}
        answer = requests.post(f"{url}/predict", data=body, timeout=PATIENCE)
        seconds["first click"] = time.perf_counter() - started
        assert recordings.answered(answer)
    finally:
        service.terminate()
        service.wait(PATIENCE)
    return seconds, health.json()["model_version"]


def _until(ask: Callable[[], requests.Response]) -> requests.Response:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(requests.ConnectionError):
            return ask()
        time.sleep(0.005)
    raise AssertionError("The service did not start.")


def _medians(starts: list[dict[str, float]]) -> dict[str, float]:
    return {event: statistics.median(start[event] for start in starts) for event in starts[0]}


def _help() -> float:
    started = time.perf_counter()
    subprocess.run([*command(), "--help"], env=environment(), stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def _imports() -> dict[str, float]:
    """Milliseconds of the modules that take most, what they import themselves included."""
    asked = [sys.executable, "-X", "importtime", "-m", "sam_backend", "--help"]
    lines = subprocess.run(asked, env=environment(), capture_output=True, text=True, check=True).stderr.splitlines()
    found = [line.removeprefix("import time:").split("|") for line in lines if line.count("|") == 2]
    costs = {name.strip(): int(total) / 1000 for _, total, name in found if total.strip().isdecimal()}
    return dict(sorted(costs.items(), key=lambda one: -one[1])[:SHOWN])


def _print(report: dict[str, Any]) -> None:
    print(f"{report['date']}  {report['machine']}")
    print(f"{report['model_version']}, median of {report['starts']} starts, seconds:")
    print(f"{'':14}{'cold':>8}{'warm':>8}")
    for event, seconds in report["cold_s"].items():
        print(f"{event:14}{seconds:8.2f}{report['warm_s'][event]:8.2f}")
    print(
        f"--help {report['import_s']:.2f} s; imports: "
        + ", ".join(f"{n} {c:.0f} ms" for n, c in report["imports_ms"].items())
    )


if __name__ == "__main__":
    main()
