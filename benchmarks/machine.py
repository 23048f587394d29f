"""The machine that a benchmark ran on, in a few words."""

import os
import platform
from pathlib import Path


def machine() -> str:
    """The processor's name and the number of cores."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"
