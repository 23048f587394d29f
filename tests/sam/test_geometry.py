"""The geometry is segment-anything's: compared with its own code, in torch."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_export.without_torchvision import import_segment_anything
from sam_backend.sam import geometry

import_segment_anything()
from segment_anything.modeling import Sam  # noqa: E402  (importable once the package is registered)

SHAPES = [(800, 1200), (1200, 800), (300, 200), (1024, 1024), (3000, 4000), (77, 1500)]


@pytest.mark.parametrize("original_size", SHAPES)
def test_upscale_equals_postprocess_masks(original_size: tuple[int, int]) -> None:
    low_res = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32) * 10
    input_size = geometry.input_size(original_size, 1024)
    ours = geometry.upscale(low_res, input_size, original_size, 1024)
    sam = SimpleNamespace(image_encoder=SimpleNamespace(img_size=1024))
    theirs = Sam.postprocess_masks(sam, torch.from_numpy(low_res)[None, None], input_size, original_size)[0, 0].numpy()
    assert ours.shape == original_size
    assert np.abs(ours - theirs).max() <= 1e-3 * np.ptp(theirs)
    assert np.mean((ours > 0) != (theirs > 0)) < 1e-4


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from([256, 512, 1024]))
def test_longest_side_becomes_image_size_and_no_side_vanishes(height: int, width: int, image_size: int) -> None:
    size = geometry.input_size((height, width), image_size)
    assert max(size) == image_size
    assert min(size) >= 1
    assert abs(size[0] * width - size[1] * height) <= max(height, width)


def test_points_scale_by_each_axis_and_are_not_rounded() -> None:
    points = np.array([[0.0, 0.0], [1200.0, 801.0], [33.3, 12.7]])
    moved = geometry.to_input(points, (801, 1200), (684, 1024))
    assert moved == pytest.approx(np.array([[0, 0], [1024, 684], [33.3 * 1024 / 1200, 12.7 * 684 / 801]]))


def test_picture_stands_in_the_top_left_corner_and_the_rest_is_black() -> None:
    canvas, size = geometry.resize_and_pad(np.full((50, 100, 3), 200, np.uint8), 64)
    assert size == (32, 64)
    assert (canvas[0, :32] == 200).all()
    assert not canvas[0, 32:].any()


def test_low_res_part_covers_the_picture() -> None:
    assert geometry.low_res_size((256, 256), (683, 1024), 1024) == (171, 256)
    assert geometry.low_res_size((256, 256), (1, 1024), 1024) == (1, 256)


@given(st.integers(1, 5000), st.integers(1, 5000), st.floats(0.01, 1))
def test_a_picture_scaled_down_has_the_same_proportions(height: int, width: int, scale: float) -> None:
    small = int(height * scale), int(width * scale)
    assert min(small) < 1 or geometry.have_same_proportions((height, width), small)


def test_a_bitmap_resized_covers_the_same_part() -> None:
    bitmap = np.zeros((60, 90), np.bool_)
    bitmap[20:40, 30:60] = True
    for size in ((120, 180), (30, 45), (60, 90), (600, 900)):
        resized = geometry.resize_bitmap(bitmap, size)
        rows, columns = np.nonzero(resized)
        assert resized.shape == size
        edges = rows.min() / size[0], (rows.max() + 1) / size[0], columns.min() / size[1], (columns.max() + 1) / size[1]
        assert np.allclose(edges, (1 / 3, 2 / 3, 1 / 3, 2 / 3), atol=1 / min(size))
