"""A mask that is traced along its outline is the mask of segment-anything's upscaled logits, pixel for pixel."""

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sam_backend.sam import contour, geometry
from sam_backend.sam.types import Size

Logits = NDArray[np.float32]

CLOSE = 1e-5
"""Shares of the logits' range: a processor without a fused product and sum rounds otherwise."""


def logits(random: np.random.Generator, cells: int, smooth: float, level: float) -> Logits:
    """Blobs, or noise where `smooth` is 0, of which more is inside the higher the level is."""
    noise = random.standard_normal((cells, cells)).astype(np.float32)
    blobs = np.asarray(cv2.GaussianBlur(noise, (0, 0), smooth), np.float32) if smooth else noise
    return np.asarray(5 * blobs / blobs.std() + level, np.float32)


def check(low_res: Logits, size: Size, image_size: int, threshold: float = 0.0) -> None:
    shown = geometry.input_size(size, image_size)
    expected = geometry.upscale(low_res, shown, size, image_size)
    patch = contour.trace(low_res, threshold, shown, size, image_size)
    assert patch.original_size == size
    assert (np.diff(patch.edges) > 0).all()
    differs = patch.bitmap != (expected > threshold)
    assert (abs(expected[differs] - threshold) <= CLOSE * np.ptp(low_res)).all()


@given(
    st.integers(0, 2**32),
    st.tuples(st.integers(1, 400), st.integers(1, 400)),
    st.sampled_from([64, 128, 256]),
    st.sampled_from([0.0, 1.0, 3.0, 8.0]),
    st.floats(-12, 8),
    st.sampled_from([0.0, 0.5, -1.0]),
)
@example(0, (1, 1), 64, 3.0, 9.0, 0.0)
@example(0, (1, 400), 64, 3.0, 0.0, 0.0)
@example(0, (400, 1), 64, 3.0, 0.0, 0.0)
@example(0, (64, 64), 64, 3.0, 0.0, 0.0)
@example(0, (65, 65), 64, 3.0, 0.0, 0.0)
@example(0, (300, 200), 64, 3.0, 100.0, 0.0)
@example(0, (300, 200), 64, 3.0, -100.0, 0.0)
def test_it_is_the_mask_of_the_upscaled_logits(
    seed: int, size: Size, image_size: int, smooth: float, level: float, threshold: float
) -> None:
    """Larger and smaller than the model's input, upright and lying, thin and tiny, full, empty and noise."""
    check(logits(np.random.default_rng(seed), image_size // 4, smooth, level), size, image_size, threshold)


@pytest.mark.parametrize("size", [(3000, 4000), (2731, 1999), (800, 1200), (683, 1024), (1024, 683), (480, 640)])
@pytest.mark.parametrize("image_size", [512, 1024])
@pytest.mark.parametrize(("smooth", "level"), [(0.0, 0.0), (2.0, -6.0), (10.0, -7.0), (10.0, 7.0)])
def test_it_is_so_at_the_sizes_of_photographs(size: Size, image_size: int, smooth: float, level: float) -> None:
    check(logits(np.random.default_rng(1), image_size // 4, smooth, level), size, image_size)


def test_what_is_inside_of_the_padding_alone_is_no_mask() -> None:
    low_res = np.full((256, 256), -4, np.float32)
    low_res[220:] = 4
    check(low_res, (800, 1200), 1024)
    assert contour.trace(low_res, 0.0, (683, 1024), (800, 1200), 1024).is_empty


def test_thin_and_small_things_between_pixels_are_lost_as_they_are_in_upscaling() -> None:
    low_res = np.full((256, 256), -4, np.float32)
    low_res[::7, ::5] = 0.3
    low_res[100, :] = 1e-6
    low_res[:, 90] = 0.01
    for size in ((800, 1200), (1025, 1025), (3000, 4000)):
        check(low_res, size, 1024)
