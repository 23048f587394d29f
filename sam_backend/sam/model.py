"""Compile a model folder with OpenVINO."""

import contextlib
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from sam_backend.errors import ModelError, SettingError
from sam_backend.sam.folder import EXPORT_AGAIN, HALVES, ModelInfo

if TYPE_CHECKING:
    import openvino

PORTS = {
    "encoder": {"image", "input_size", "image_embeddings"},
    "decoder": {
        "image_embeddings",
        "point_coords",
        "point_labels",
        "mask_input",
        "has_mask_input",
        "low_res_masks",
        "iou_predictions",
    },
}


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

    def rest_encoder(self) -> None:
        """Give back what the encoder's last inference left allocated, unless it is at work: vit_b's is 0.9 GB."""
        _rest(self._encoder)

    def rest_decoder(self) -> None:
        """The same for the decoder: of a batch of 16 points, vit_b's is half a gigabyte."""
        _rest(self._decoder)

    def bulk_request(self) -> "openvino.InferRequest":
        """A fresh request for the decoder: one that decodes many points at once gives its memory back in the end."""
        return self._decoder.create_infer_request()

    def decoder_request(self) -> "openvino.InferRequest":
        """This thread's own request; its outputs are overwritten by the next inference of the same thread."""
        request: openvino.InferRequest | None = getattr(self._local, "decoder", None)
        if request is None:
            request = self._local.decoder = self._decoder.create_infer_request()
        return request


def _rest(half: "openvino.CompiledModel") -> None:
    with contextlib.suppress(RuntimeError):  # busy; then it needs it
        half.release_memory()


def compile_model(info: ModelInfo, device: str, precision: str, inference_threads: int) -> CompiledSam:
    """Load both halves onto `device`.

    Args:
        info: the folder's description, from `read_info`.
        device: an OpenVINO device name.
        precision: "f32", "bf16" or "f16": the arithmetic that OpenVINO is asked for.
        inference_threads: CPU threads for one inference; 0 leaves it to OpenVINO.

    Raises:
        ModelError: OpenVINO refused, or the graphs are not those of a SAM.
    """
    import openvino

    options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    if inference_threads and device.startswith("CPU"):
        options["INFERENCE_NUM_THREADS"] = str(inference_threads)
    core = openvino.Core()
    try:
        encoder, decoder = (core.compile_model(info.folder / f"{half}.xml", device, options) for half in HALVES)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO could not load {info.folder} on {device}: {_cause(error)}", EXPORT_AGAIN) from error
    for half, compiled in zip(HALVES, (encoder, decoder), strict=True):
        _check_ports(info, half, {port.any_name for port in (*compiled.inputs, *compiled.outputs)})
    return CompiledSam(info, encoder, decoder)


def infer(request: "openvino.InferRequest", inputs: dict[str, Any]) -> None:
    """Run a request; its outputs stay in it.

    Args:
        request: of either half.
        inputs: arrays by input name, of the dtypes and shapes that `model_export.modules` documents.

    Raises:
        ModelError: OpenVINO failed.
    """
    try:
        request.infer(inputs)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO failed: {_cause(error)}", "Check SAM_DEVICE, SAM_PRECISION and memory.") from error


def _check_ports(info: ModelInfo, half: str, found: set[str]) -> None:
    missing = PORTS[half] - found
    if missing:
        raise ModelError(f"The {half} in {info.folder} has no {', '.join(sorted(missing))}.", EXPORT_AGAIN)


def _cause(error: RuntimeError) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
