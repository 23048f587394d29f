"""The machine that a benchmark ran on, in a few words, and what it can do."""

import os
import platform
from pathlib import Path
from typing import Literal

from sam_backend.sam import device

Precision = Literal["f32", "bf16"]


def machine() -> str:
    """The processor's name and the number of cores."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def best_precision() -> Precision:
    """What the service computes in by itself: bf16 where the CPU has it, else f32."""
    return "bf16" if device.best_precision("CPU") == "bf16" else "f32"
