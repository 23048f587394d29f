"""Checks of this machine: the model and what it takes, a click, and where embeddings are kept."""

import functools
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from sam_backend.cache.stores import open_link
from sam_backend.doctor.finding import Finding, failed, note, ok
from sam_backend.errors import SamBackendError
from sam_backend.sam.types import Image, Prompt
from sam_backend.segmenter import Segmenter
from sam_backend.service_settings import BUILTIN_MODEL
from sam_backend.settings import Settings

_SIDE = 768
_GIB = 1024**3
_BESIDES = _GIB
"""What a service takes besides the model and the embeddings: pictures, steps, requests."""

_MEMORY = Path("/proc/meminfo")


def examine(settings: Settings) -> Iterator[Finding]:
    """The model, a click, memory, the disk and Redis."""
    # Nothing of the click that is tried shall stay anywhere.
    alone = settings.model_copy(update={"cache_dir": None, "redis_url": type(settings.redis_url)("")})
    try:
        segmenter = Segmenter(alone)
    except SamBackendError as error:
        yield failed("model", error)
    else:
        yield from _model(segmenter, settings)
    yield from _memory(settings)
    yield _disk(settings)
    yield _redis(settings)


def _model(segmenter: Segmenter, settings: Settings) -> Iterator[Finding]:
    if settings.model == BUILTIN_MODEL:
        remedy = "For real work export vit_b (python -m model_export --help) and set SAM_MODEL."
        yield note("model", f"{segmenter.model_version}, the built-in one: small, and quick.", remedy)
    else:
        yield ok("model", f"{segmenter.model_version} in {segmenter.info.folder}.")
    yield ok("device", f"{settings.device} in {segmenter.precision}.")
    try:
        yield ok("click", _click(segmenter))
    except SamBackendError as error:
        yield failed("click", error)


def _click(segmenter: Segmenter) -> str:
    """How long a model takes to start, an image, and a click on it."""
    y, x = np.mgrid[:_SIDE, :_SIDE]
    rgb = np.full((_SIDE, _SIDE, 3), 90, np.uint8)
    rgb[(x - 384) ** 2 + (y - 384) ** 2 < 128**2] = (200, 60, 40)
    image = Image(rgb, "doctor")
    spent = []
    steps: list[Callable[[], object]] = [segmenter.load, functools.partial(segmenter.embed, image)]
    steps += [functools.partial(segmenter.segment, image, _at(x)) for x in (360, 380, 400, 420)]
    for step in steps:
        started = time.perf_counter()
        step()
        spent.append(time.perf_counter() - started)
    start, encode, _, *clicks = spent  # the first click on an image does some work for all
    return f"{min(clicks) * 1000:.0f} ms on an opened image; {encode:.1f} s to open one, {start:.1f} s to start."


def _at(x: float) -> Prompt:
    return Prompt(points=np.array([[x, 384.0]]), point_labels=np.array([1]))


def _memory(settings: Settings) -> Iterator[Finding]:
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", _MEMORY.read_text(), re.MULTILINE)
    except OSError:
        found = None
    if not found:
        return
    free, wanted = int(found[1]) * 1024, settings.memory_cache + settings.automatic_cache + _BESIDES
    text = f"{free / _GIB:.1f} GiB are free; the caches may take {wanted / _GIB:.1f} GiB beside the model."
    yield ok("memory", text) if free >= wanted else note("memory", text, "Lower SAM_MEMORY_CACHE, or add memory.")


def _disk(settings: Settings) -> Finding:
    folder = settings.cache_dir
    if folder is None:
        return note("disk", "Embeddings end with the process.", "Set SAM_CACHE_DIR to a folder to keep them.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        free = shutil.disk_usage(folder).free
    except OSError as error:
        reason = f"{folder} cannot be used: {error.strerror}."
        return failed("disk", SamBackendError(reason, "Make it writable for this user, or name another SAM_CACHE_DIR."))
    text = (
        f"{folder} has {used / _GIB:.1f} of at most {settings.disk_cache / _GIB:.1f} GiB; {free / _GIB:.1f} are free."
    )
    return ok("disk", text) if used + free >= settings.disk_cache else note("disk", text, "Lower SAM_DISK_CACHE.")


def _redis(settings: Settings) -> Finding:
    try:
        link = open_link(settings)
    except SamBackendError as error:
        return failed("redis", error)
    if link is None:
        return ok("redis", "Not used: this replica keeps embeddings for itself.")
    if link.is_there():
        return ok("redis", "It answers.")
    remedy = "Check SAM_REDIS_URL and that Redis runs; until then each replica encodes for itself."
    return failed("redis", SamBackendError("It does not answer.", remedy))
