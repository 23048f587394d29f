"""NNCF on SAM's encoder: which operations become int8."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import numpy as np
import openvino

from model_export.errors import ConversionError

Inputs = dict[str, np.ndarray]

# What may stand between a constant and the operation that it belongs to.
_PASSES_ON = {"Convert", "Multiply", "Reshape", "Subtract", "Transpose"}


def import_nncf() -> ModuleType:
    """NNCF, with its log quiet.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    import nncf

    # `nncf.set_log_level` would change the level of whatever listens to this logger too.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf


def quantize(
    encoder: openvino.Model, inputs: Iterable[Any], count: int, prepare: Callable[[Any], Inputs]
) -> openvino.Model:
    """The encoder with int8 weights and activations where that pays; attention stays as it is.

    Args:
        encoder: as exported.
        inputs: what `prepare` makes the encoder's inputs of; iterated once or twice.
        count: how many they are.
        prepare: one of `inputs` as arrays by input name.

    Raises:
        ModuleNotFoundError: NNCF is not installed.
        ConversionError: NNCF failed.
    """
    nncf = import_nncf()
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

    dataset = nncf.Dataset(inputs, prepare)
    attention = _products_of_activations(encoder)
    # A processor without VNNI adds two products of 8 bits in 16, which overflows unless the weights keep to 7.
    parameters = AdvancedQuantizationParameters(overflow_fix=OverflowFix.ENABLE)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return nncf.quantize(
                encoder,
                dataset,
                model_type=nncf.ModelType.TRANSFORMER if attention else None,
                subset_size=count,
                ignored_scope=nncf.IgnoredScope(names=attention + _readers_of_pixels(encoder)),
                advanced_parameters=parameters,
            )
    except (RuntimeError, nncf.ValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConversionError(f"NNCF could not quantize the encoder: {reason}.") from error


def _products_of_activations(model: openvino.Model) -> list[str]:
    """Attention's own products, of queries and keys, of shares and values, of queries and relative positions."""
    products = [node for node in model.get_ops() if node.get_type_name() in {"MatMul", "Einsum"}]
    return [node.get_friendly_name() for node in products if not any(map(_is_constant, node.input_values()))]


def _readers_of_pixels(model: openvino.Model) -> list[str]:
    """The convolutions of the image itself: little of the time, and a sixth of the error."""
    found = [node for node in model.get_ops() if node.get_type_name() == "Convolution"]
    return [node.get_friendly_name() for node in found if node.input_value(0).get_partial_shape()[1] == 3]


def _is_constant(value: openvino.Output) -> bool:
    node = value.get_node()
    while node.get_type_name() in _PASSES_ON:
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant")
