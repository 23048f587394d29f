"""Embedding ↔ bytes: what stores that outlive the process keep. Exact, so that no tier changes an answer.

    4 bytes   bytes of the description (little-endian)
    JSON      the description: sizes, model, each tensor's name and shape; spaces up to a multiple of 8
    tensors   float32, little-endian, C order, one after the other

Whoever changes this counts `FORMAT` up.
"""

import json
import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_backend.sam.types import Embedding, Size

FORMAT = 1

_LENGTH = struct.Struct("<I")
_FLOATS = np.dtype("<f4")


def pack(embedding: Embedding) -> list[bytes | memoryview]:
    """The embedding in parts that stand one after the other; the tensors are not copied."""
    tensors = {name: np.ascontiguousarray(tensor, _FLOATS) for name, tensor in embedding.features.items()}
    description = {
        "original_size": embedding.original_size,
        "input_size": embedding.input_size,
        "model_id": embedding.model_id,
        "features": {name: tensor.shape for name, tensor in tensors.items()},
    }
    text = json.dumps(description).encode()
    text += b" " * (-(_LENGTH.size + len(text)) % 8)
    return [_LENGTH.pack(len(text)) + text, *(tensor.data.cast("B") for tensor in tensors.values())]


def unpack(data: memoryview) -> Embedding:
    """The embedding that was packed; its tensors are read-only and look into `data`.

    Raises:
        ValueError: these are not the bytes of an embedding.
    """
    try:
        (length,) = _LENGTH.unpack_from(data)
        start = _LENGTH.size + length
        described = json.loads(bytes(data[_LENGTH.size : start]))
        features = _tensors(described["features"], data[start:])
        sizes = _size(described["original_size"]), _size(described["input_size"])
        return Embedding(features, *sizes, str(described["model_id"]))
    except (struct.error, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an embedding: {error}") from None


def _tensors(shapes: dict[str, list[int]], data: memoryview) -> dict[str, NDArray[np.float32]]:
    features: dict[str, NDArray[np.float32]] = {}
    for name, shape in shapes.items():
        size = math.prod(shape) * _FLOATS.itemsize
        features[name] = np.frombuffer(data[:size], _FLOATS).reshape(shape)
        data = data[size:]
    if data.nbytes:
        raise ValueError(f"not an embedding: {data.nbytes} bytes too many")
    return features


def _size(value: Any) -> Size:
    height, width = value
    return int(height), int(width)
