"""The encoder's bytes are those of Label Studio's own SDK, and the decoder reads both and the editor's."""

import contextlib
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from label_studio_sdk.converter import brush
from numpy.typing import NDArray

from sam_backend.labelstudio import rle

Bitmap = NDArray[np.bool_]


def blob(height: int, width: int) -> Bitmap:
    """An outline as wavy as a real object's."""
    y, x = np.mgrid[:height, :width] - np.array([height / 2, width * 0.45]).reshape(2, 1, 1)
    angle = np.arctan2(y, x)
    inside = np.hypot(x, y) < height * 0.3 * (1 + 0.2 * np.sin(7 * angle) + 0.05 * np.sin(31 * angle))
    return np.asarray(inside)


def reference(bitmap: Bitmap) -> list[int]:
    return list(brush.mask2rle((bitmap * 255).astype(np.uint8)))


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
@example(np.ones((1, 1), np.bool_))
@example(np.zeros((1, 1), np.bool_))
def test_every_mask_has_the_bytes_of_the_sdk(bitmap: Bitmap) -> None:
    encoded = rle.encode(bitmap)
    assert encoded == reference(bitmap)
    assert np.array_equal(rle.decode(encoded, bitmap.shape), bitmap)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.booleans())
def test_runs_of_every_length_class_have_the_bytes_of_the_sdk(lengths: list[int], first: object) -> None:
    values = np.arange(len(lengths)) % 2 == first
    bitmap = np.repeat(values, lengths)[np.newaxis]
    assert rle.encode(bitmap) == reference(bitmap)


# A record holds at most 2**16 values, that is 2**14 pixels; each of these is an edge of a length class.
@pytest.mark.parametrize("edge", [2, 4, 64, 2**14, 2 * 2**14, 5 * 2**14])
@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("inside", [False, True])
def test_runs_at_the_edges_of_length_classes(edge: int, more: int, inside: object) -> None:
    bitmap = np.full((1, edge + more + 3), not inside)
    bitmap[0, 1 : 1 + edge + more] = inside
    encoded = rle.encode(bitmap)
    assert encoded == reference(bitmap)
    assert np.array_equal(rle.decode(encoded, bitmap.shape), bitmap)


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (800, 1200), (1201, 799)])
@pytest.mark.parametrize("make", [np.zeros, np.ones, lambda shape, _: blob(*shape)])
def test_large_masks(shape: tuple[int, int], make: Callable[..., Bitmap]) -> None:
    bitmap = make(shape, np.bool_)
    assert rle.encode(bitmap) == reference(bitmap)


@pytest.mark.parametrize("density", [0.001, 0.1, 0.5, 0.999])
def test_noise(density: float) -> None:
    bitmap = np.random.default_rng(7).random((300, 401)) < density
    encoded = rle.encode(bitmap)
    assert encoded == reference(bitmap)
    assert np.array_equal(rle.decode(encoded, bitmap.shape), bitmap)


def test_a_photograph_of_12_megapixels() -> None:
    bitmap = blob(3000, 4000)
    assert rle.encode(bitmap) == reference(bitmap)


def test_a_view_of_a_larger_array_is_encoded_as_it_looks() -> None:
    whole = blob(60, 80)
    for view in (whole[::2, ::3], whole.T, whole[:, ::-1], np.asfortranarray(whole)):
        assert rle.encode(view) == reference(np.ascontiguousarray(view))


def test_all_four_channels_are_0_or_255() -> None:
    """Label Studio draws a mask of zeros and ones invisibly."""
    bitmap = blob(50, 70)
    channels = brush.decode_rle(rle.encode(bitmap)).reshape(50, 70, 4)
    assert np.array_equal(channels, np.where(bitmap, 255, 0)[..., np.newaxis].repeat(4, axis=2))


@pytest.mark.parametrize(
    "bitmap",
    [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 1), np.bool_), np.zeros((0, 5), np.bool_), np.zeros(4, np.bool_)],
)
def test_what_is_no_mask_is_refused(bitmap: Bitmap) -> None:
    with pytest.raises(ValueError, match="bitmap must be bool"):
        rle.encode(bitmap)


def test_decoding_reads_literals_and_partial_alpha() -> None:
    """The editor's own strokes have literals, and alpha values between 0 and 255 at their edges."""
    pixels = np.zeros((9, 13, 4), np.uint8)
    pixels[2:6, 3:9] = (255, 0, 170, 128)
    pixels[4, 4] = (1, 2, 3, 255)
    pixels[7, 7] = (9, 9, 9, 0)
    stream = brush.encode_rle(pixels.ravel())
    assert np.array_equal(rle.decode(stream, (9, 13)), pixels[..., 3] > 0)


@pytest.mark.parametrize("rle_stream", [[], [0, 0], [0, 0, 0, 16]])
def test_a_stream_that_ends_too_early_is_refused(rle_stream: list[int]) -> None:
    with pytest.raises(ValueError, match="ends too early"):
        rle.decode(rle_stream, (2, 2))


def test_a_stream_of_another_size_is_refused() -> None:
    encoded = rle.encode(blob(20, 30))
    with pytest.raises(ValueError, match="has 2400 values"):
        rle.decode(encoded, (30, 21))


def test_a_stream_that_is_cut_is_refused() -> None:
    encoded = rle.encode(blob(20, 30))
    with pytest.raises(ValueError, match="ends too early"):
        rle.decode(encoded[: len(encoded) // 2], (20, 30))


def editor_stream(random: np.random.Generator, size: tuple[int, int]) -> tuple[list[int], Bitmap]:
    """Runs and literals of all lengths over four channels, as the SDK encodes them; and what they paint."""
    values = random.integers(0, 256, size[0] * size[1] * 4, np.uint8)
    values[random.random(values.size) < random.random()] = 0
    pixels = np.repeat(values, random.integers(1, 400, values.size))[: values.size].reshape(*size, 4)
    pixels[random.random(size) < random.random()] = random.integers(0, 256, 4, np.uint8)
    return list(brush.encode_rle(pixels.ravel())), pixels[..., 3] > 0


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40))
def test_any_picture_of_the_sdk_is_read(seed: int, height: int, width: int) -> None:
    random = np.random.default_rng(seed)
    stream, painted = editor_stream(random, (height, width))
    assert np.array_equal(rle.decode(stream, painted.shape), painted)


def packed(*fields: tuple[int, int]) -> list[int]:
    """A stream of these numbers, each with its width in bits."""
    bits = "".join(f"{number:0{width}b}" for number, width in fields)
    return [int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8)]


HEADER = [(16, 32), (7, 5), (2, 4), (3, 4), (7, 4), (15, 4)]


def test_records_past_the_end_are_refused() -> None:
    with pytest.raises(ValueError, match="more values than it says"):
        rle.decode(packed(*HEADER, (0b110, 3), (99, 8), (255, 8)), (2, 2))


def test_literals_past_the_end_are_refused_before_they_are_looked_for() -> None:
    with pytest.raises(ValueError, match="ends too early"):
        rle.decode(packed(*HEADER, (0b011, 3), (2**16 - 1, 16)), (2, 2))


def test_lengths_may_have_any_width() -> None:
    header = [(16, 32), (7, 5), (0, 4), (15, 4), (4, 4), (9, 4)]
    records = [(0b100, 3), (1, 1), (7, 8), (0b001, 3), (1, 16), (1, 8), (0, 8), (0b110, 3), (11, 5), (0, 8)]
    assert rle.decode(packed(*header, *records), (2, 2)).tolist() == [[False, False], [False, False]]
    records[6] = (9, 8)
    assert rle.decode(packed(*header, *records), (2, 2)).tolist() == [[True, False], [False, False]]


@pytest.mark.parametrize("rle_stream", [None, 10**12, "abc", {}, [256] * 9, [-1] * 9, [0.5] * 9, ["255"], [[]], [None]])
def test_what_is_no_list_of_bytes_is_refused(rle_stream: Any) -> None:
    with pytest.raises(ValueError, match="stream"):
        rle.decode(rle_stream, (2, 2))


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_mask_or_refused(data: bytes, headed: object) -> None:
    stream = packed(*HEADER) + list(data) if headed else list(data)
    with contextlib.suppress(ValueError):
        assert rle.decode(stream, (2, 2)).shape == (2, 2)


def test_a_huge_picture_that_is_not_there_takes_no_memory() -> None:
    """Four thousand millions of values are announced, few bytes follow."""
    stream = packed((2**32 - 4, 32), *HEADER[1:], (0b111, 3), (2**16 - 1, 16), (255, 8))
    tracemalloc.start()
    with pytest.raises(ValueError, match="ends too early"):
        rle.decode(stream, (1, 2**30 - 1))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_encoding_is_faster_than_the_sdk() -> None:
    bitmap = blob(800, 1200)
    ours = min(_seconds(lambda: rle.encode(bitmap)) for _ in range(5))
    theirs = min(_seconds(lambda: reference(bitmap)) for _ in range(3))
    print(f"encode 1200×800: {1000 * ours:.2f} ms, the SDK {1000 * theirs:.2f} ms")
    assert ours < theirs


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
