"""What a device can do, asked without waking OpenVINO in this process: it must not wake before a fork."""

import re
import subprocess
import sys
from pathlib import Path

from sam_backend.errors import SettingError

_CPU_INFO = Path("/proc/cpuinfo")
_BF16_FLAGS = {"avx512_bf16", "amx_bf16"}
"""Of x86, as Linux names them: with either, bf16 is what OpenVINO itself computes in unless it is told otherwise."""


def check_device(device: str) -> None:
    """Refuse a device that OpenVINO does not see.

    Raises:
        SettingError: there is no such device here.
    """
    if device.startswith(("CPU", "AUTO")):
        return
    seen = _asked("print(*openvino.Core().available_devices)").split()
    if re.split("[.:]", device, maxsplit=1)[0] not in {name.split(".")[0] for name in seen}:
        raise SettingError(f"SAM_DEVICE = {device!r}: OpenVINO sees {', '.join(seen)} here.", "Choose one of them.")


def best_precision(device: str) -> str:
    """The arithmetic in which a device is fast and masks stay what they are: "bf16", "f16" or "f32".

    A GPU or NPU computes in f16; a CPU in bf16 where it has instructions for it, else in f32. `AUTO` may change the
    device while it runs, which must not change the masks: f32.
    """
    if device.startswith(("GPU", "NPU")):
        return "f16"
    return "bf16" if device.startswith("CPU") and _BF16_FLAGS & _cpu_flags() else "f32"


def _cpu_flags() -> set[str]:
    """What Linux says of an x86 CPU; elsewhere nothing."""
    try:
        found = re.search(r"^flags\s*:(.*)$", _CPU_INFO.read_text(), re.MULTILINE)
    except OSError:
        return set()
    return set(found[1].split()) if found else set()


def _asked(question: str) -> str:
    """What Python prints in another process."""
    answer = subprocess.run(  # noqa: S603 (nothing of it comes from outside)
        [sys.executable, "-c", f"import openvino; {question}"], capture_output=True, text=True, timeout=120, check=False
    )
    return answer.stdout
