"""An embedding in bytes is the same embedding, bit by bit."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam_backend.sam import packed
from sam_backend.sam.types import Embedding


def embedding(*shapes: tuple[int, ...]) -> Embedding:
    rng = np.random.default_rng(0)
    features = {f"tensor {index}": rng.normal(size=shape).astype(np.float32) for index, shape in enumerate(shapes)}
    return Embedding(features, (3, 5), (600, 1000), "model-ü-1")


def as_bytes(value: Embedding) -> bytes:
    return b"".join(packed.pack(value))


def test_an_embedding_comes_back_bit_by_bit_and_read_only() -> None:
    value = embedding((1, 4, 3, 3), (2, 2))
    value.features["tensor 0"][0, 0, 0, :] = (np.nan, -0.0, np.inf)
    again = packed.unpack(memoryview(as_bytes(value)))
    assert (again.original_size, again.input_size, again.model_id) == ((3, 5), (600, 1000), "model-ü-1")
    assert list(again.features) == list(value.features)
    for name, tensor in again.features.items():
        assert tensor.dtype == np.float32
        assert tensor.shape == value.features[name].shape
        assert tensor.tobytes() == value.features[name].tobytes()
        assert not tensor.flags.writeable
    assert again.nbytes == value.nbytes


def test_a_tensor_that_is_not_contiguous_comes_back_as_it_looks() -> None:
    tensor = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)
    again = packed.unpack(memoryview(as_bytes(Embedding({"a": tensor}, (1, 1), (1, 1), "m"))))
    assert np.array_equal(again.features["a"], tensor)


@given(st.integers(0, 2000), st.binary(max_size=60))
def test_other_bytes_are_an_error_and_never_a_crash(cut: int, noise: bytes) -> None:
    data = as_bytes(embedding((1, 4, 3, 3)))
    for broken in (noise, data[: cut % len(data)], data + b"\0"):
        with pytest.raises(ValueError):
            packed.unpack(memoryview(broken))


@pytest.mark.parametrize(
    "description",
    [
        b"[]",
        b"{}",
        b"\xff",
        b'{"features": {"a": [-1]}, "original_size": [1, 1], "input_size": [1, 1], "model_id": ""}',
        b'{"features": {"a": ["x"]}, "original_size": [1, 1], "input_size": [1, 1], "model_id": ""}',
        b'{"features": {}, "original_size": [1], "input_size": [1, 1], "model_id": ""}',
        json.dumps({"features": []}).encode(),
    ],
)
def test_a_description_of_something_else_is_an_error(description: bytes) -> None:
    with pytest.raises(ValueError):
        packed.unpack(memoryview(struct.pack("<I", len(description)) + description + bytes(4)))
