"""What a worker has of this machine, and how much it says."""

import os
from dataclasses import replace

from sam_backend.prelabel.types import Order
from sam_backend.settings import Settings


def cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def share(order: Order, workers: int) -> Order:
    """The order for one of so many workers on this machine: `SAM_INFERENCE_THREADS`, or its share of the cores."""
    if workers == 1 or order.settings.inference_threads:
        return order
    threads = max(1, cores() // workers)
    return replace(order, settings=order.settings.model_copy(update={"inference_threads": threads}))


def log_level(settings: Settings) -> str:
    """`SAM_LOG_LEVEL`, but lines that only inform stay out of the progress."""
    return "WARNING" if settings.log_level == "INFO" else settings.log_level
