"""torch → OpenVINO, directly: trace each half, name its inputs and outputs, save it."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import openvino
import torch
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from model_export.errors import ConversionError, OutputError
from model_export.folder import EXPORT_ID_PATH, Description
from model_export.modules import Decoder, Encoder

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

Shape = tuple[int, ...]
ENCODER_OUTPUTS = ("image_embeddings",)
DECODER_OUTPUTS = ("low_res_masks", "iou_predictions")


def convert_encoder(sam: "Sam") -> openvino.Model:
    """The image encoder, static: `image`, `input_size` → `image_embeddings`. See `modules.Encoder`."""
    size = sam.image_encoder.img_size
    inputs = {
        "image": torch.zeros((1, size, size, 3), dtype=torch.uint8),
        "input_size": torch.tensor([size, size]),
    }
    shapes = {name: tuple(value.shape) for name, value in inputs.items()}
    return _convert(Encoder(sam), inputs, shapes, ENCODER_OUTPUTS)


def convert_decoder(sam: "Sam") -> openvino.Model:
    """Prompt encoder and mask decoder, dynamic in the batch and the number of points. See `modules.Decoder`."""
    channels = sam.prompt_encoder.embed_dim
    height, width = sam.prompt_encoder.image_embedding_size
    # Every dimension that may vary differs from 1 and from the others here, so that none is mistaken for a constant.
    inputs = {
        "image_embeddings": torch.zeros((1, channels, height, width)),
        "point_coords": torch.zeros((2, 3, 2)),
        "point_labels": torch.ones((2, 3)),
        "mask_input": torch.zeros((2, 1, 4 * height, 4 * width)),
        "has_mask_input": torch.ones((2,)),
    }
    shapes = {
        "image_embeddings": (1, channels, height, width),
        "point_coords": (-1, -1, 2),
        "point_labels": (-1, -1),
        "mask_input": (-1, 1, 4 * height, 4 * width),
        "has_mask_input": (-1,),
    }
    return _convert(Decoder(sam), inputs, shapes, DECODER_OUTPUTS)


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


def save(model: openvino.Model, path: Path, description: Description) -> None:
    """Write `path` (.xml) and its .bin, marked with the export's id and with the weights in the export's precision.

    Raises:
        OutputError: the disk refuses.
    """
    model.set_rt_info(description.export_id, EXPORT_ID_PATH)
    try:
        openvino.save_model(model, path, compress_to_fp16=description.precision == "f16")
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise OutputError(f"{path} cannot be written: {reason}.", "Choose another --output.") from None
