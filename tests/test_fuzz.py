"""Whatever is sent is answered, or refused by name, in time, and leaves nothing behind.

The bodies come from a grammar of our own (`tests.support.grammar`), not from schemathesis or atheris: most of what is
read here is bound by what other parts of the same body say, which no schema tells and flipped bytes never meet, and
what an answered click costs, most of it in OpenVINO, leaves a guide by coverage little to hurry.
"""

import contextlib
import copy
import json
import logging
import os
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask import Flask

from sam_backend import errors, logs, steps
from sam_backend.labelstudio import rle, streams
from sam_backend.serving.server import create_app
from sam_backend.settings import Settings
from tests.support import grammar, memory
from tests.support.large_bodies import LARGE
from tests.support.memory import MIB

NAMED = {name: value.status for name, value in vars(errors).items() if hasattr(value, "status")}
JUSTIFIED = {"ImageUnavailableError", "ImageTimeoutError"}  # another server's fault; of 5xx, none else
WATCHDOG = 60.0
GROWTH = 48 * MIB
"""What the process may grow by in the second half: caches of which the budgets are not reached yet."""


@pytest.fixture(scope="module")
def app() -> Iterator[Flask]:
    """The application with small caches."""
    with pytest.MonkeyPatch.context() as patch:
        for module, budget in ((streams, "_BUDGET"), (steps, "_ANSWERS_BUDGET"), (steps, "_SIDES_BUDGET")):
            patch.setattr(module, budget, 8 * MIB)
        settings = Settings(
            max_body_bytes=8_000_000, memory_cache=64 * MIB, automatic_cache=8 * MIB, automatic_queue=16, warm_queue=4,
            open_seconds=0.05, retrieve_seconds=0.05, image_timeout=2, max_image_pixels=10_000_000,
        )  # fmt: skip
        running = create_app(settings)
        yield running
        running.extensions["sam_backend"].close()


@contextlib.contextmanager
def unkept_log() -> Iterator[None]:
    """The log is written as ever, but not to where pytest keeps it all."""
    logger = logging.getLogger("sam_backend")
    with Path(os.devnull).open("w") as nowhere, pytest.MonkeyPatch.context() as patch:
        handler = logs.handler(nowhere)
        logger.addHandler(handler)
        patch.setattr(logger, "propagate", False)
        try:
            yield
        finally:
            logger.removeHandler(handler)


@dataclass
class Findings:
    """What came of the bodies.

    Attributes:
        kinds: how many answers of each kind, by path, status and error.
        wrong: what should not have come, with the body's file.
        seconds: for each answer.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def note(self, path: str, body: bytes, status: int, text: bytes, seconds: float) -> None:
        self.seconds.append(seconds)
        document = orjson.loads(text)
        name = document.get("error", "")
        self.kinds[f"{path} {status} {name}".strip()] += 1
        problem = _problem(document, body) if status in (200, 201) else _unnamed(name, status)
        if problem:
            self.wrong.append(f"{path}: {problem}: {kept(body)}")


def _unnamed(name: str, status: int) -> str:
    if NAMED.get(name) != status:
        return f"{status} {name} is no named error"
    return "" if status < 500 or name in JUSTIFIED else f"{status} {name} for what a stranger sent"


def _problem(document: dict[str, Any], body: bytes) -> str:
    """What is wrong with an answer; of what stands beside a region that is corrected, it has copies."""
    for prediction in document.get("results", []):
        for region in prediction.get("result") or []:
            stream = region["value"].get("rle") if region["type"] in ("brush", "brushlabels") else None
            if stream is None or orjson.dumps(stream) in body:
                continue
            size = region["original_height"], region["original_width"]
            try:
                found = rle.decode(stream, size).shape
            except (ValueError, TypeError) as error:
                return f"no mask: {error}"
            if found != size:
                return f"a mask of {found}, not {size}"
    return ""


def kept(body: bytes) -> str:
    """A file with the body, to look at it."""
    with tempfile.NamedTemporaryFile(prefix="body-", delete=False) as file:
        file.write(body)
    return file.name


def _bodies(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    dice, found = random.Random(seed), grammar.seeds()
    for _ in range(count):
        case = dice.choices(grammar.CASES, (7, 2, 1))[0]
        path, document = dice.choice(found[case])
        yield path, (grammar.nonsense if dice.random() < 0.1 else grammar.body)(dice, document)


class Sender:
    """Sends bodies from two threads; whoever waits for an answer longer than the watchdog does, fails."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._own = threading.local()
        self.findings = Findings()

    def send(self, bodies: Iterator[tuple[str, bytes]]) -> None:
        with ThreadPoolExecutor(2) as pool:
            waiting: list[tuple[Future[tuple[int, bytes, float]], str, bytes]] = []
            for path, body in bodies:
                waiting.append((pool.submit(self._post, path, body), path, body))
                if len(waiting) > 4:
                    self._note(*waiting.pop(0))
            for one in waiting:
                self._note(*one)

    def _note(self, future: "Future[tuple[int, bytes, float]]", path: str, body: bytes) -> None:
        try:
            status, text, seconds = future.result(5 * WATCHDOG)
        except TimeoutError:
            os.write(2, f"No answer to {path}: {kept(body)}\n".encode())
            os._exit(70)  # a thread that hangs cannot be ended otherwise
        self.findings.note(path, body, status, text, seconds)
        if seconds > WATCHDOG:
            self.findings.wrong.append(f"{path} took {seconds:.0f} s: {kept(body)}")

    def _post(self, path: str, body: bytes) -> tuple[int, bytes, float]:
        if not hasattr(self._own, "client"):
            self._own.client = self._app.test_client()
        started = time.perf_counter()
        response = self._own.client.post(path, data=body)
        return response.status_code, response.data, time.perf_counter() - started


def fuzz(app: Flask, count: int, seed: int) -> Findings:
    """Send so many bodies, of which the first half warms the process up; print what came of them."""
    sender, sizes, started = Sender(app), [], time.perf_counter()
    part = min(1000, count // 2)
    with unkept_log():
        for number in range(count // part):
            sender.send(_bodies(part, seed + number))
            sizes.append(memory.resident())
            seconds = time.perf_counter() - started
            print(f"{part * (number + 1)} bodies in {seconds:.0f} s, {sizes[-1] / MIB:.0f} MiB", flush=True)
    found = sender.findings
    print(f"median {statistics.median(found.seconds) * 1000:.1f} ms, slowest {max(found.seconds):.1f} s")
    print(json.dumps(dict(found.kinds.most_common()), indent=1))
    assert found.wrong == []
    assert sizes[-1] - sizes[len(sizes) // 2 - 1] < GROWTH
    return found


def test_any_body_is_answered_or_refused_by_name(app: Flask) -> None:
    found = fuzz(app, 600, seed=1)
    assert sum(count for kind, count in found.kinds.items() if kind.startswith("/predict 200")) > 50


@pytest.mark.soak
def test_twenty_thousand_bodies_are_answered_or_refused_by_name(app: Flask) -> None:
    fuzz(app, 20_000, seed=int(os.environ.get("FUZZ_SEED", "7")))


@pytest.mark.parametrize("shape", LARGE, ids=lambda shape: str(shape.__name__))
def test_what_a_body_costs_grows_with_its_length_alone(
    app: Flask, shape: Callable[[grammar.Document, int], None]
) -> None:
    """With the square of it, each of these would take minutes."""
    document = copy.deepcopy(next(one for _, one in grammar.seeds()["predict"] if one["params"].get("context")))
    shape(document, 8000)
    sender = Sender(app)
    with unkept_log():
        sender.send(iter([("/predict", orjson.dumps(document))]))
    assert sender.findings.wrong == []
