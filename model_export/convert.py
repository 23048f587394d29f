"""torch → OpenVINO, directly: trace each part, name its inputs and outputs, save it."""

import math
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import openvino
import torch
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from model_export.errors import ConversionError
from model_export.folder import Description
from model_export.graphs import write_graph
from model_export.modules import Encoder, ImageSide, MaskSide, PromptSide, Upscaling
from model_export.slices import sliced

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

Shape = tuple[int, ...]
_ALIGNMENT = 64  # bytes
ENCODER_OUTPUTS = ("image_embeddings",)
SIDE = ("image_tokens", "image_keys", "image_values", "image_queries")
REFINED_SIDE = ("refined_tokens", "refined_keys", "refined_values", "refined_queries")
PROMPTS_OUTPUTS = ("prompted_tokens", "mask_weights", "iou_predictions")
UPSCALING_OUTPUTS = ("low_res_masks",)


def convert_encoder(sam: "Sam") -> openvino.Model:
    """The image encoder, static: `image`, `input_size` → `image_embeddings`. See `modules.Encoder`."""
    size = sam.image_encoder.img_size
    inputs = {
        "image": torch.zeros((1, size, size, 3), dtype=torch.uint8),
        "input_size": torch.tensor([size, size]),
    }
    shapes = {name: tuple(value.shape) for name, value in inputs.items()}
    with sliced(sam.image_encoder):
        return _convert(Encoder(sam), inputs, shapes, ENCODER_OUTPUTS)


def convert_image_side(sam: "Sam") -> openvino.Model:
    """The decoder's beginning, static. See `modules.ImageSide`."""
    channels = sam.prompt_encoder.embed_dim
    embedding = (1, channels, *sam.prompt_encoder.image_embedding_size)
    return _convert(ImageSide(sam), {"image_embeddings": torch.zeros(embedding)}, {"image_embeddings": embedding}, SIDE)


def convert_mask_side(sam: "Sam") -> openvino.Model:
    """What a mask changes of it, static. See `modules.MaskSide`."""
    height, width = sam.prompt_encoder.image_embedding_size
    inputs = _side(sam) | {"mask_input": torch.zeros((1, 1, 4 * height, 4 * width))}
    return _convert(MaskSide(sam), inputs, {name: tuple(value.shape) for name, value in inputs.items()}, REFINED_SIDE)


def convert_prompt_side(sam: "Sam") -> openvino.Model:
    """The decoder's middle, dynamic in the batch and the number of points. See `modules.PromptSide`."""
    side = _side(sam)
    # Every dimension that may vary differs from 1 and from the others here, so that none is mistaken for a constant.
    prompts = {"point_coords": torch.zeros((2, 3, 2)), "point_labels": torch.ones((2, 3))}
    shapes = {name: tuple(value.shape) for name, value in side.items()}
    dynamic = {"point_coords": (-1, -1, 2), "point_labels": (-1, -1)}
    return _convert(PromptSide(sam), side | prompts, shapes | dynamic, PROMPTS_OUTPUTS)


def _side(sam: "Sam") -> dict[str, Tensor]:
    """What `ImageSide` answers, all zero."""
    tokens = math.prod(sam.prompt_encoder.image_embedding_size)
    attention = sam.mask_decoder.transformer.layers[0].cross_attn_token_to_image
    projected = torch.zeros((1, attention.num_heads, attention.internal_dim // attention.num_heads, tokens))
    shapes = {"image_tokens": torch.zeros((1, tokens, sam.prompt_encoder.embed_dim))}
    return shapes | dict.fromkeys(SIDE[1:], projected)


def convert_upscaling(sam: "Sam") -> openvino.Model:
    """The decoder's end, dynamic in the batch, the grid and the number of masks. See `modules.Upscaling`."""
    channels = sam.prompt_encoder.embed_dim
    inputs = {"prompted_tokens": torch.zeros((2, 5, 7, channels)), "mask_weights": torch.zeros((2, 3, channels // 8))}
    shapes = {"prompted_tokens": (-1, -1, -1, channels), "mask_weights": (-1, -1, channels // 8)}
    return _convert(Upscaling(sam), inputs, shapes, UPSCALING_OUTPUTS)


PARTS: Mapping[str, Mapping[str, Callable[["Sam"], openvino.Model]]] = {
    "decoder": {
        "image": convert_image_side,
        "mask": convert_mask_side,
        "prompts": convert_prompt_side,
        "upscaling": convert_upscaling,
    },
    "encoder": {"encoder": convert_encoder},
}
"""The parts of each half, and what makes them."""


def _convert(
    module: nn.Module, inputs: Mapping[str, Tensor], shapes: Mapping[str, Shape], outputs: tuple[str, ...]
) -> openvino.Model:
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Tracing warns of sizes that become constants: those of the image, which are meant to.
            warnings.simplefilter("ignore")
            # Tracing again to check the trace would triple the time: `verify` compares the results instead.
            traced = TorchScriptPythonDecoder(
                module.eval(), example_input=dict(inputs), trace_kwargs={"check_trace": False}
            )
            model = openvino.convert_model(traced, input=_signature(inputs, shapes))
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise ConversionError(f"OpenVINO could not convert the {type(module).__name__.lower()}: {reason}.") from error
    for port, name in zip(model.outputs, outputs, strict=True):
        port.get_tensor().set_names({name})
        port.node.set_friendly_name(name)
    return model


def _signature(inputs: Mapping[str, Tensor], shapes: Mapping[str, Shape]) -> list[tuple[str, list[int], torch.dtype]]:
    return [(name, list(shapes[name]), value.dtype) for name, value in inputs.items()]


def save(models: Mapping[str, openvino.Model], folder: Path, half: str, description: Description) -> None:
    """Write a half's parts, `<part>.xml` each, marked with the export's id.

    All of them read their weights from `<half>.bin`, in the export's precision.

    Args:
        models: by part.
        folder: where to.
        half: "encoder" or "decoder".
        description: the export's.

    Raises:
        OutputError: the disk refuses.
    """
    weights = folder / f"{half}.bin"
    places: dict[bytes, int] = {}
    for part, model in models.items():
        path = folder / f"{part}.xml"
        write_graph(model, path, description.export_id, half_precision=description.precision == "f16")
        if path.stem != half:
            _move_weights(path, weights, places)


def _move_weights(path: Path, weights: Path, places: dict[bytes, int]) -> None:
    """Let the graph at `path` read from `weights`, and drop its own file; `places` says what stands there already."""
    document = ET.parse(path)  # noqa: S314 - written a moment ago
    own = path.with_suffix(".bin")
    data = own.read_bytes()
    with weights.open("ab") as target:
        for constant in document.iterfind("./layers/layer[@type='Const']/data"):
            begin, size = int(constant.attrib["offset"]), int(constant.attrib["size"])
            value = data[begin : begin + size]
            if value not in places:
                target.write(bytes(-target.tell() % _ALIGNMENT))
                places[value] = target.tell()
                target.write(value)
            constant.set("offset", str(places[value]))
    document.write(path)
    own.unlink()
