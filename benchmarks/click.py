"""How long a cached click takes over HTTP: the whole, and its parts.

    python benchmarks/click.py
    python benchmarks/click.py --clicks 500 --width 4000 --height 3000 --json click.json

Starts the service (the built-in model, or SAM_MODEL in SAM_MODEL_DIR) and an image host of its own on loopback, sends
one click to fill the cache, then clicks on random places, one after the other. The parts are the service's own: fetch,
decode (SAM's decoder), upscale, rle; `json` is what reading the request and writing the answer as JSON cost this
process for the same documents; `rest` is what remains: HTTP, hashing the image, and the machine's other business.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import requests

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import machine
from tests.support import recordings, scenes
from tests.support.image_host import TOKEN, image_host
from tests.support.service import Service, running

STAGES = ("fetch", "decode", "upscale", "rle")
ADDRESS = "/data/upload/1/benchmark"


def main() -> None:
    options = _options()
    scene = scenes.draw(options.width, options.height, scenes.STAGE)
    size = (options.height, options.width)
    picture = scenes.png(scene.rgb) if options.png else scenes.jpeg(scene.rgb)
    with tempfile.TemporaryDirectory() as folder, image_host() as host:
        host.put(ADDRESS, picture)
        settings = {"LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN}
        with running(Path(folder), **settings) as service:
            version = requests.get(f"{service.url}/health", timeout=10).json()["model_version"]
            first = _click(service, requests.Session(), (50.0, 50.0), size)
            clicks = _clicks(service, size, options.clicks)
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{machine()}, load {os.getloadavg()[0]:.1f} at the end",
        "model_version": version,
        "image": {"width": options.width, "height": options.height, "bytes": len(picture)},
        "first_click_ms": first["total"],
        "clicks": options.clicks,
        "ms": {part: _summary([click[part] for click in clicks]) for part in clicks[0]},
    }
    _print(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=200)
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--png", action="store_true", help="a PNG in place of a JPEG")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def _clicks(service: Service, size: tuple[int, int], count: int) -> list[dict[str, float]]:
    session = requests.Session()
    places = np.random.default_rng(0).uniform(1, 99, (count, 2)).tolist()
    return [_click(service, session, (x, y), size) for x, y in places]


def _click(
    service: Service, session: requests.Session, place: tuple[float, float], size: tuple[int, int]
) -> dict[str, float]:
    """Milliseconds of one click and its parts."""
    document = recordings.ask(ADDRESS, size, recordings.keypoint(*place))
    body = json.dumps(document).encode()
    before = _stages(service)
    started = time.perf_counter()
    response = session.post(f"{service.url}/predict", data=body, timeout=600)
    total = 1000 * (time.perf_counter() - started)
    assert response.status_code == 200, response.text
    after = _stages(service)
    parts = {stage: 1000 * (after[stage] - before[stage]) for stage in STAGES} | {"json": _json(body, response.content)}
    return {"total": total, **parts, "rest": total - sum(parts.values())}


def _stages(service: Service) -> dict[str, float]:
    """Seconds that the service has spent in each stage so far."""
    lines = requests.get(f"{service.url}/metrics", timeout=10).text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {stage: float(values.get(f'sam_stage_seconds_sum{{stage="{stage}"}}', 0)) for stage in STAGES}


def _json(body: bytes, answer: bytes) -> float:
    document = orjson.loads(answer)
    started = time.perf_counter()
    orjson.loads(body)
    orjson.dumps(document)
    return 1000 * (time.perf_counter() - started)


def _summary(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"p50": statistics.median(ordered), "p95": ordered[int(0.95 * (len(ordered) - 1))]}


def _print(report: dict[str, Any]) -> None:
    image = report["image"]
    print(f"{report['date']}  {report['machine']}")
    print(f"{report['model_version']}, {image['width']}x{image['height']}, {image['bytes']} bytes")
    print(f"first click {report['first_click_ms']:.0f} ms, then {report['clicks']} clicks:")
    print(f"{'ms':10}{'p50':>8}{'p95':>8}")
    for part, summary in report["ms"].items():
        print(f"{part:10}{summary['p50']:8.1f}{summary['p95']:8.1f}")


if __name__ == "__main__":
    main()
