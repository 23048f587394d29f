"""What a replica needs: memory with the model alone and per image, clicks a second, and what Redis keeps.

    python -m benchmarks.sizing
    python -m benchmarks.sizing --images 300 --seconds 20 --json sizing.json
    SAM_MODEL=vit_b SAM_MODEL_DIR=models python -m benchmarks.sizing --images 20

Starts the service (the built-in model, or SAM_MODEL in SAM_MODEL_DIR) with a folder for its caches, and an image host
on loopback; opens so many images with a click on each, then lets 1, 2, 4 … clients click at once, each as soon as it
has its answer, ten times on an image, then on the next one. Annotators rest between clicks: one who clicks every two
seconds is a twentieth of a client that is answered in a tenth. The clients run on the same cores as the service.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm

from benchmarks import clients
from benchmarks.clients import Client
from benchmarks.machine import machine
from tests.support.image_host import image_host

CLIENTS = (1, 2, 4, 8, 16, 32)
STAY = 10
"""Clicks on an image before the next one."""


def main() -> None:
    options = _options()
    size = (options.height, options.width)
    with tempfile.TemporaryDirectory() as folder, image_host() as host:
        addresses = [clients.picture(host, size, seed) for seed in tqdm(range(options.images), "drawn", leave=False)]
        cache = Path(folder) / "cache"
        with clients.ours(Path(folder), host, SAM_CACHE_DIR=str(cache)) as service:
            version = requests.get(f"{service.url}/health", timeout=10).json()["model_version"]
            memory = _opened(service, addresses, size)
            on_disk = statistics.mean(file.stat().st_size for file in (cache / "embeddings").glob("??/*"))
            load = [_load(service.url, addresses, size, count, options.seconds) for count in CLIENTS]
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "model_version": version,
        "image": {"width": options.width, "height": options.height},
        **memory,
        "stored_mb_an_image": on_disk / 2**20,
        "load": load,
    }
    _print(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def _opened(service: Client, addresses: list[str], size: clients.Size) -> dict[str, float]:
    """Memory before the first image, after the first half of them and at the end, in MiB; seconds an image took."""
    half = len(addresses) // 2
    resident, times = [_resident(service)], list[float]()
    for part in (addresses[:half], addresses[half:]):
        bodies = [clients.click(address, size, [(size[1] // 2, size[0] // 2)]) for address in part]
        times += [service.send(body)[0] for body in tqdm(bodies, "opened", leave=False)]
        resident.append(_resident(service))
    return {
        "model_mb": resident[0],
        "memory_mb": resident[2],
        "mb_an_image": (resident[2] - resident[1]) / (len(addresses) - half),
        "first_click_s": statistics.median(times),
    }


def _resident(service: Client) -> float:
    text = service.session.get(f"{service.url}/metrics", timeout=60).text
    [line] = [line for line in text.splitlines() if line.startswith("process_resident_memory_bytes ")]
    return float(line.split()[1]) / 2**20


def _load(url: str, addresses: list[str], size: clients.Size, count: int, seconds: float) -> dict[str, float]:
    """Clicks a second of so many clients, and how long they wait, in milliseconds."""
    end = time.monotonic() + seconds

    def annotate(seed: int) -> list[float]:
        client, dice, times = Client(url, 0), random.Random(seed), list[float]()
        while time.monotonic() < end:
            address = addresses[(seed + len(times) // STAY) % len(addresses)]
            place = dice.randrange(size[1]), dice.randrange(size[0])
            times.append(client.send(clients.click(address, size, [place]))[0])
        return times

    with ThreadPoolExecutor(count) as pool:
        times = sorted(one for each in pool.map(annotate, range(count)) for one in each)
    return {
        "clients": count,
        "clicks_a_second": len(times) / seconds,
        "p50_ms": 1000 * statistics.median(times),
        "p95_ms": 1000 * times[int(0.95 * (len(times) - 1))],
    }


def _print(report: dict[str, Any]) -> None:
    image = report["image"]
    print(f"{report['date']}  {report['machine']}\n{report['model_version']}, {image['width']}x{image['height']}")
    print(f"memory: {report['model_mb']:.0f} MiB with the model, {report['memory_mb']:.0f} with all images open,")
    print(
        f"{report['mb_an_image']:.2f} MiB for each further one; {report['stored_mb_an_image']:.2f} on disk or in Redis"
    )
    print(f"the first click on an image: {report['first_click_s'] * 1000:.0f} ms; then")
    print(f"{'clients':>8}{'clicks/s':>10}{'p50 ms':>9}{'p95 ms':>9}")
    for row in report["load"]:
        print(f"{row['clients']:8}{row['clicks_a_second']:10.1f}{row['p50_ms']:9.0f}{row['p95_ms']:9.0f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200, help="how many are opened (default: 200)")
    parser.add_argument("--seconds", type=float, default=10, help="of load for each number of clients (default: 10)")
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
