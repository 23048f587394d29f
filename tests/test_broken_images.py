"""A broken or poisoned image is an image, or refused by name; it takes no more memory than its pixels may."""

import base64
import itertools
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from sam_backend import errors, steps
from sam_backend.errors import ImageError
from sam_backend.labelstudio import images
from sam_backend.labelstudio.images import Limits
from sam_backend.serving.server import create_app
from sam_backend.settings import Settings
from tests.support import broken_images, memory, recordings
from tests.support.memory import MIB

PIXELS = 10_000_000
LIMITS = Limits(max_bytes=10**8, max_pixels=PIXELS, timeout=1)
MOST = 40 * PIXELS
"""Bytes above what stood there before: ten megapixels in some copies of RGBA or floats."""
GROWTH = 64 * MIB
WATCHDOG = 60
NAMED = {name for name, value in vars(errors).items() if isinstance(value, type)}


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    with pytest.MonkeyPatch.context() as patch:
        for budget in ("_ANSWERS_BUDGET", "_SIDES_BUDGET"):
            patch.setattr(steps, budget, 8 * MIB)
        app: Flask = create_app(Settings(max_image_pixels=PIXELS, max_body_bytes=150_000_000, memory_cache=16 * MIB))
        with app.test_client() as running:
            yield running
        app.extensions["sam_backend"].close()


@pytest.fixture(autouse=True)
def _no_errors_of_warnings() -> Iterator[None]:
    """Pillow warns of what it finds; in the service that is no error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def decoded(data: bytes) -> str:
    """What became of a file: an error's name, or the image."""
    try:
        image = images.decode(data, LIMITS)
    except ImageError as error:
        return type(error).__name__ if error.remedy else "no remedy"
    height, width = image.original_size
    assert image.rgb.shape == (height, width, 3)
    assert 0 < height * width <= PIXELS
    return "an image"


def click(client: FlaskClient, data: bytes) -> str:
    address = "data:image/png;base64," + base64.b64encode(data).decode()
    region = recordings.keypoint(50, 50)
    response = client.post("/predict", json=recordings.ask(address, (48, 64), region))
    if response.status_code == 200:
        return "an answer"
    name = str(response.get_json()["error"])
    assert name in NAMED
    assert response.status_code < 500
    return name


def try_all(client: FlaskClient, files: Iterable[tuple[str, bytes]], folder: Path, clicks: int = 1) -> Counter[str]:
    """Decode each file, and click on each of some; print what came of them."""
    found: Counter[str] = Counter()
    slowest = highest = 0.0
    for number, (name, data) in enumerate(files):
        (folder / "image").write_bytes(data)  # left there where a decoder takes the process with it
        before, started = memory.forget_peak(), time.perf_counter()
        found[decoded(data)] += 1
        assert memory.peak() - before < MOST, (name, (memory.peak() - before) / MIB)
        highest = max(highest, memory.peak() - before)
        if number % clicks == 0:
            found["click: " + click(client, data)] += 1
        slowest = max(slowest, time.perf_counter() - started)
        assert time.perf_counter() - started < WATCHDOG, name
    print(f"{dict(found)}, slowest {slowest:.2f} s, highest +{highest / MIB:.0f} MiB")
    return found


def test_sound_files_are_images() -> None:
    assert {kind for kind in broken_images.SOUND if decoded(broken_images.sound(kind)) != "an image"} == set()


def test_broken_files_are_images_or_refused_by_name(client: FlaskClient, tmp_path: Path) -> None:
    files = itertools.chain(broken_images.specials(), broken_images.files(60, 1))
    found = try_all(client, files, tmp_path, clicks=6)
    assert found["an image"] > 5
    assert found["ImageUnreadableError"] > 30
    assert found["ImageTooLargeError"] > 5
    assert "no remedy" not in found


@pytest.mark.soak
def test_five_hundred_broken_files_are_images_or_refused_by_name(client: FlaskClient, tmp_path: Path) -> None:
    """The special files, of which some are large, fill the caches before."""
    try_all(client, broken_images.specials(), tmp_path)
    before = memory.resident()
    try_all(client, broken_images.files(500, 7), tmp_path)
    growth = memory.resident() - before
    print(f"growth {growth / MIB:+.0f} MiB")
    assert growth < GROWTH
