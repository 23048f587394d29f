"""Compile a model folder with OpenVINO."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sam_backend.errors import ModelError
from sam_backend.sam.folder import EXPORT_AGAIN, ModelInfo
from sam_backend.sam.turns import Request

if TYPE_CHECKING:
    import openvino

SIDE = ("image_tokens", "image_keys", "image_values", "image_queries")
REFINED_SIDE = ("refined_tokens", "refined_keys", "refined_values", "refined_queries")
PORTS = {
    "encoder": {"image", "input_size", "image_embeddings"},
    "image": {"image_embeddings", *SIDE},
    "mask": {"mask_input", *SIDE, *REFINED_SIDE},
    "prompts": {*SIDE, "point_coords", "point_labels", "prompted_tokens", "mask_weights", "iou_predictions"},
    "upscaling": {"prompted_tokens", "mask_weights", "low_res_masks"},
}
_WAKING = threading.Lock()
DECODER = "decoder"
"""`prompts` and `upscaling` in one, for clicks: they draw what they asked for at once."""


@dataclass(frozen=True, slots=True)
class DecoderRequests:
    """Requests for what a click needs."""

    image: "openvino.InferRequest"
    mask: "openvino.InferRequest"
    decoder: "openvino.InferRequest"


class CompiledSam:
    """The parts of a model, compiled. Threads share it; each has decoder buffers of its own.

    Args:
        info: the folder's description.
        compile_part: compiles one of `folder.PARTS`, or `DECODER`. What batches need is compiled when it is asked for.

    Raises:
        ModelError: OpenVINO refused, or the graphs are not those of a SAM.
    """

    def __init__(self, info: ModelInfo, compile_part: "Callable[[str], openvino.CompiledModel]") -> None:
        self.info = info
        self._encoder = compile_part("encoder")
        self._decoder = [compile_part(part) for part in ("image", "mask", DECODER)]
        self._pieces: tuple[openvino.CompiledModel, ...] = ()
        self._compile = compile_part
        self._compiling = threading.Lock()
        self._local = threading.local()

    def encoder_request(self) -> "openvino.InferRequest":
        """A fresh request: an encode is long beside making one."""
        return self._encoder.create_infer_request()

    def decoder_requests(self) -> DecoderRequests:
        """This thread's own requests; their outputs are overwritten by the next inference of the same thread."""
        requests: DecoderRequests | None = getattr(self._local, "decoder", None)
        if requests is None:
            requests = self._local.decoder = DecoderRequests(*(part.create_infer_request() for part in self._decoder))
        return requests

    def points_requests(self) -> "tuple[openvino.InferRequest, openvino.InferRequest]":
        """Fresh requests for `prompts` and `upscaling`, for batches: their memory is not that of clicks.

        Raises:
            ModelError: as for the class.
        """
        with self._compiling:
            if not self._pieces:
                self._pieces = (self._compile("prompts"), self._compile("upscaling"))
        prompts, upscaling = (piece.create_infer_request() for piece in self._pieces)
        return prompts, upscaling

    def rest_encoder(self) -> None:
        """Give back what the encoder's last inference left allocated, unless it is at work: vit_b's is 0.9 GB."""
        _rest(self._encoder)

    def rest_points(self) -> None:
        """The same for the parts that decode batches."""
        for piece in self._pieces:
            _rest(piece)


def _rest(part: "openvino.CompiledModel") -> None:
    with contextlib.suppress(RuntimeError):  # busy; then it needs it
        part.release_memory()


def compile_model(info: ModelInfo, device: str, precision: str, inference_threads: int) -> CompiledSam:
    """Load a model onto `device`.

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
    _wake()

    def read(part: str) -> openvino.Model:
        model = core.read_model(info.folder / f"{part}.xml", info.weights(part))
        _check_ports(info, part, {name for port in (*model.inputs, *model.outputs) for name in port.names})
        return model

    def compile_part(part: str) -> openvino.CompiledModel:
        try:
            model = _joined(read("prompts"), read("upscaling")) if part == DECODER else read(part)
            return core.compile_model(model, device_of(part, device), options)
        except RuntimeError as error:
            reason = f"OpenVINO could not load {info.folder} on {device}: {_cause(error)}"
            raise ModelError(reason, EXPORT_AGAIN) from error

    return CompiledSam(info, compile_part)


def device_of(part: str, device: str) -> str:
    """Where a part runs. An NPU takes static shapes alone: it gets the encoder; the decoder's parts run on the CPU."""
    return "CPU" if device.startswith("NPU") and part != "encoder" else device


def _wake() -> None:
    """Let OpenVINO's Python bindings look up numpy's types now, in one thread.

    They do so at the first conversion, behind a lock that C++ holds while Python's own is let go: two threads that
    are first at the same time wait for each other forever, and the whole process with them.
    """
    import openvino

    with _WAKING:
        openvino.Type.f32.to_dtype()


def _joined(prompts: "openvino.Model", upscaling: "openvino.Model") -> "openvino.Model":
    """Both as one graph: the second's inputs are the first's outputs of the same names."""
    import openvino

    for given in upscaling.inputs:
        made = prompts.output(given.any_name).node.input_value(0)
        for reader in given.get_target_inputs():
            reader.replace_source_output(made)
    results = [upscaling.output("low_res_masks").node, prompts.output("iou_predictions").node]
    return openvino.Model(results, prompts.get_parameters(), DECODER)


def infer(request: "openvino.InferRequest | Request", inputs: dict[str, Any]) -> None:
    """Run a request; its outputs stay in it.

    Args:
        request: of any part.
        inputs: arrays by input name, of the dtypes and shapes that `model_export.modules` documents. The request reads
            them where they lie.

    Raises:
        ModelError: OpenVINO failed.
    """
    try:
        request.infer(inputs, share_inputs=True, share_outputs=True)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO failed: {_cause(error)}", "Check SAM_DEVICE, SAM_PRECISION and memory.") from error


def _check_ports(info: ModelInfo, part: str, found: set[str]) -> None:
    missing = PORTS[part] - found
    if missing:
        raise ModelError(f"{part}.xml in {info.folder} has no {', '.join(sorted(missing))}.", EXPORT_AGAIN)


def _cause(error: RuntimeError) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
