"""How much memory this process takes."""

import ctypes
import gc
from pathlib import Path

MIB = 1024**2


def resident() -> int:
    """Bytes that are in use, after what nobody needs was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def forget_peak() -> int:
    """Begin anew to look for the peak; returns the bytes that are in use now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak() -> int:
    """The most bytes that were in use at a time since then."""
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024
