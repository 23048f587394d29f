"""What the service counts and times, for `/metrics`.

The metrics are of the process, as Prometheus wants them: one service runs in one process.
"""

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

from sam_backend import logs

Metric = TypeVar("Metric", Counter, Histogram)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

REGISTRY = CollectorRegistry()
MODEL = Info("sam_model", "What is served, and on what.", registry=REGISTRY)
REQUESTS = Counter("sam_requests", "Requests answered.", ["endpoint", "status"], registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "sam_request_seconds", "Seconds to answer a request.", ["endpoint"], buckets=_SECONDS, registry=REGISTRY
)
STAGE_SECONDS = Histogram(
    "sam_stage_seconds", "Seconds in a stage of a request.", ["stage"], buckets=_SECONDS, registry=REGISTRY
)
ENCODES = Counter("sam_encodes", "Images that went through the encoder.", registry=REGISTRY)
DECODES = Counter("sam_decodes", "Prompts that went through the decoder.", registry=REGISTRY)
CACHE_HITS = Counter("sam_cache_hits", "Look-ups that found their entry.", ["cache", "tier"], registry=REGISTRY)
CACHE_MISSES = Counter("sam_cache_misses", "Look-ups that did not.", ["cache", "tier"], registry=REGISTRY)
CACHE_FAULTS = Counter(
    "sam_cache_faults", "Reads and writes that failed, and broken entries.", ["tier", "fault"], registry=REGISTRY
)
ERRORS = Counter("sam_errors", "Errors by name.", ["error"], registry=REGISTRY)
CLICKS = Gauge("sam_clicks", "Clicks that are being answered or wait for it.", registry=REGISTRY)
WARM_QUEUE = Gauge("sam_warm_queue", "Images that wait to be warmed.", registry=REGISTRY)
AUTOMATIC_QUEUE = Gauge(
    "sam_automatic_queue", "Tasks that wait to be looked up or labeled in the background.", registry=REGISTRY
)
AUTOMATIC_TASKS = Counter("sam_automatic_tasks", "Tasks that automatic mode labeled.", registry=REGISTRY)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Time a stage: for `/metrics`, and for the log line of the request that is being answered.

    Stages: `fetch`, `decode_image`, `disk`, `redis`, `lease`, `encode`, `decode`, `upscale`, `rle`.
    """
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - started
        _of(STAGE_SECONDS, name).observe(seconds)
        trace = logs.current()
        if trace:
            trace.add(name, seconds)


def name_model(version: str, device: str, precision: str) -> None:
    """Say which model is served, on which of OpenVINO's devices, in which arithmetic."""
    MODEL.info({"version": version, "device": device, "precision": precision})


def count_cache(*, hit: bool, cache: str = "embeddings", tier: str = "memory") -> None:
    """Count a look-up in one tier of the cache of `embeddings` or of decoded `images`."""
    _of(CACHE_HITS if hit else CACHE_MISSES, cache, tier).inc()


def count_cache_fault(tier: str, fault: str) -> None:
    """Count what went wrong in a tier: `read`, `write`, `broken`, `dropped`."""
    _of(CACHE_FAULTS, tier, fault).inc()


def count_encode() -> None:
    """Count an image that went through the encoder."""
    ENCODES.inc()


def count_decode(prompts: int = 1) -> None:
    """Count prompts that went through the decoder."""
    DECODES.inc(prompts)


def count_labeled() -> None:
    """Count a task that automatic mode labeled."""
    AUTOMATIC_TASKS.inc()


def count_error(error: Exception) -> None:
    """Count an error by the name of its class."""
    _of(ERRORS, type(error).__name__).inc()


def count_request(endpoint: str, status: int, seconds: float) -> None:
    """Count and time an answered request."""
    _of(REQUESTS, endpoint, str(status)).inc()
    _of(REQUEST_SECONDS, endpoint).observe(seconds)


@functools.cache
def _of(metric: Metric, *labels: str) -> Metric:
    """The metric with these labels, looked up once: labels have few values each."""
    return metric.labels(*labels)


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY) + generate_latest(_process())


@functools.cache
def _process() -> CollectorRegistry:
    # Made at the first question: it reads /proc, which an import must not.
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry
