"""How much of a cached click goes into metrics and logging.

    python -m benchmarks.observing
    python -m benchmarks.observing --clicks 1000 --width 4000 --height 3000 --json observing.json

Answers clicks with the service's own application (the built-in model, or SAM_MODEL in SAM_MODEL_DIR), in this process,
without HTTP, so that a click is as short as it gets and the share as large. All that counts, times and logs is measured
by itself, in whichever thread it happens: metrics, the beginnings and ends of stages, the request's log line with its
formatting and its way into a file.
"""

import argparse
import contextlib
import functools
import json
import logging
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask
from prometheus_client import Gauge

from benchmarks.machine import machine
from sam_backend import logs, metrics, settings
from sam_backend.serving.observer import Observer
from sam_backend.serving.server import create_app
from tests.support import recordings, scenes
from tests.support.image_host import TOKEN, image_host

ADDRESS = "/data/upload/1/benchmark"


class Stopwatch:
    """Adds up the seconds spent inside, of all threads; inside of inside counts once."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._spans: list[float] = []
        self._inside = threading.local()

    @property
    def seconds(self) -> float:
        """So far."""
        return sum(self._spans)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counted."""

        @functools.wraps(function)
        def counted(*args: Any, **options: Any) -> Any:
            if getattr(self._inside, "yes", False):
                return function(*args, **options)
            self._inside.yes, started = True, self._clock()
            try:
                return function(*args, **options)
            finally:
                self._spans.append(self._clock() - started)
                self._inside.yes = False

        return counted

    def at_both_ends(self, manager: Callable[..., Any]) -> Callable[..., Any]:
        """The context manager, of which the beginning and the end are counted, and not what happens between them."""

        @contextlib.contextmanager
        def counted(*args: Any) -> Iterator[Any]:
            made = self.around(manager)(*args)
            value = self.around(made.__enter__)()
            try:
                yield value
            finally:
                self.around(made.__exit__)(None, None, None)

        return counted


def watch(stopwatch: Stopwatch) -> None:
    """Count whatever counts, times or logs in this process, from now on."""
    for name in ("inc", "dec"):  # what `track_inprogress` calls
        setattr(Gauge, name, stopwatch.around(getattr(Gauge, name)))
    for name in [name for name in vars(metrics) if name.startswith("count_")]:
        setattr(metrics, name, stopwatch.around(getattr(metrics, name)))
    logging.Logger._log = stopwatch.around(logging.Logger._log)  # type: ignore[method-assign] # noqa: SLF001
    logs.Trace.add = stopwatch.around(logs.Trace.add)  # type: ignore[method-assign]
    Observer._report = stopwatch.around(Observer._report)  # type: ignore[method-assign] # noqa: SLF001
    for module, name in ((metrics, "stage"), (logs, "traced")):
        setattr(module, name, stopwatch.at_both_ends(getattr(module, name)))


def main() -> None:
    options = _options()
    stopwatch = Stopwatch()
    watch(stopwatch)
    size = (options.height, options.width)
    with tempfile.TemporaryDirectory() as folder, image_host() as host:
        host.put(ADDRESS, scenes.jpeg(scenes.draw(options.width, options.height, scenes.STAGE).rgb))
        os.environ |= {"LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN}
        with (Path(folder) / "log").open("w") as log:
            logs.configure("INFO", log)
            app = create_app(settings.load())
            ran = _clicks(app, stopwatch, size, options.clicks)
            version = app.extensions["sam_backend"].segmenter.model_version
            app.extensions["sam_backend"].close()
    whole, observed = (statistics.median(part) * 1000 for part in zip(*ran, strict=True))
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{machine()}, load {os.getloadavg()[0]:.1f} at the end",
        "model_version": version,
        "clicks": options.clicks,
        "click_ms": whole,
        "observing_ms": observed,
        "share": statistics.median(part / total for total, part in ran),
    }
    print(
        f"{report['date']}  {report['machine']}\n{version}, {options.width}x{options.height}, {options.clicks} clicks"
    )
    print(f"a click {whole:.2f} ms, of which metrics and logging {observed:.3f} ms: {report['share']:.2%}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def _clicks(app: Flask, stopwatch: Stopwatch, size: tuple[int, int], count: int) -> list[tuple[float, float]]:
    """Of each click the seconds in all, and those that were spent observing it; the first ones do not count."""
    client, ran = app.test_client(), []
    for x, y in np.random.default_rng(0).uniform(1, 99, (count + 10, 2)).tolist():
        body = json.dumps(recordings.ask(ADDRESS, size, recordings.keypoint(x, y))).encode()
        before, started = stopwatch.seconds, time.perf_counter()
        response = client.post("/predict", data=body)
        seconds = time.perf_counter() - started
        assert response.status_code == 200, response.text
        ran.append((seconds, stopwatch.seconds - before))
    return ran[10:]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=300)
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
