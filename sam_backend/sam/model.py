"""Compile a model folder with OpenVINO."""

import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from sam_backend.errors import ModelError, SettingError
from sam_backend.sam.folder import EXPORT_AGAIN, HALVES, ModelInfo

if TYPE_CHECKING:
    import openvino


def check_device(device: str) -> None:
    """Refuse a device that OpenVINO does not see. Asked in another process: OpenVINO must not wake before a fork.

    Raises:
        SettingError: there is no such device here.
    """
    if device.startswith(("CPU", "AUTO")):
        return
    question = "import openvino; print(*openvino.Core().available_devices)"
    answer = subprocess.run(  # noqa: S603 (nothing of it comes from outside)
        [sys.executable, "-c", question], capture_output=True, text=True, timeout=120, check=False
    )
    seen = answer.stdout.split()
    if re.split("[.:]", device, maxsplit=1)[0] not in {name.split(".")[0] for name in seen}:
        raise SettingError(f"SAM_DEVICE = {device!r}: OpenVINO sees {', '.join(seen)} here.", "Choose one of them.")


class CompiledSam:
    """Both halves, compiled. Threads share it; each has decoder buffers of its own."""

    def __init__(self, info: ModelInfo, encoder: "openvino.CompiledModel", decoder: "openvino.CompiledModel") -> None:
        self.info = info
        self._encoder = encoder
        self._decoder = decoder
        self._local = threading.local()

    def encoder_request(self) -> "openvino.InferRequest":
        """A fresh request: an encode is long beside making one."""
        return self._encoder.create_infer_request()

    def decoder_request(self) -> "openvino.InferRequest":
        """This thread's own request; its outputs are overwritten by the next inference of the same thread."""
        request: openvino.InferRequest | None = getattr(self._local, "decoder", None)
        if request is None:
            request = self._local.decoder = self._decoder.create_infer_request()
        return request


def compile_model(info: ModelInfo, device: str, precision: str, inference_threads: int) -> CompiledSam:
    """Load both halves onto `device`.

    Args:
        info: the folder's description, from `read_info`.
        device: an OpenVINO device name.
        precision: "f32", "bf16" or "f16": the arithmetic that OpenVINO is asked for.
        inference_threads: CPU threads for one inference; 0 leaves it to OpenVINO.

    Raises:
        ModelError: OpenVINO refused.
    """
    import openvino

    options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    if inference_threads and device.startswith("CPU"):
        options["INFERENCE_NUM_THREADS"] = str(inference_threads)
    core = openvino.Core()
    try:
        encoder, decoder = (core.compile_model(info.folder / f"{half}.xml", device, options) for half in HALVES)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelError(f"OpenVINO could not load {info.folder} on {device}: {reason}", EXPORT_AGAIN) from error
    return CompiledSam(info, encoder, decoder)
