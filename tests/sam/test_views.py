"""Views: what is cut out lies exactly where it was."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sam_backend.sam import geometry, views
from sam_backend.sam.decoder import LowResMasks
from sam_backend.sam.folder import read_info
from sam_backend.sam.types import Embedding, Image, Mask, Patch, Prompt, Size
from sam_backend.sam.views import Finding, View
from sam_backend.served_model import model_folder
from sam_backend.settings import Settings

SIDE = 64
INFO = read_info(model_folder(Settings()))

sides = st.integers(1, 700)
shares = st.floats(0, 1)


def noise(height: int, width: int, seed: int = 0) -> Image:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image(rgb, f"noise-{seed}-{height}-{width}")


def as_mask(bitmap: NDArray[np.bool_]) -> Mask:
    return Mask(Patch.of(bitmap), 0.9, 0.9, np.zeros((4, 4), np.float32))


def bright(image: Image) -> NDArray[np.bool_]:
    return image.rgb[..., 0] > 127


# ----------------------------------------------------------------------------------------------------- placement


@given(sides, sides, shares, shares, st.sampled_from([SIDE, 90, 128, 301]))
def test_a_window_lies_in_the_image_and_shows_its_point(h: int, w: int, down: float, across: float, side: int) -> None:
    point = np.array([across * w, down * h])
    left, top, right, bottom = geometry.window(point, side, (h, w))
    assert (right - left, bottom - top) == (min(side, w), min(side, h))
    assert 0 <= left <= point[0] <= right <= w
    assert 0 <= top <= point[1] <= bottom <= h


@given(sides, sides, shares, shares)
def test_a_point_in_a_window_has_room_on_every_side_but_the_images(h: int, w: int, down: float, across: float) -> None:
    point = np.array([across * w, down * h])
    left, top, right, bottom = geometry.window(point, SIDE, (h, w))
    assert left == 0 or point[0] - left >= 3 * SIDE / 8 - 1
    assert top == 0 or point[1] - top >= 3 * SIDE / 8 - 1
    assert right == w or right - point[0] >= 3 * SIDE / 8 - 1
    assert bottom == h or bottom - point[1] >= 3 * SIDE / 8 - 1


@given(sides, sides, shares, shares)
def test_what_a_mask_covers_in_a_crop_it_covers_in_the_image(h: int, w: int, down: float, across: float) -> None:
    image = noise(h, w)
    view = views.crop(image, geometry.window(np.array([across * w, down * h]), SIDE, (h, w)))
    left, top, right, bottom = view.rectangle
    shown = np.zeros((h, w), np.bool_)
    shown[top:bottom, left:right] = True
    assert np.array_equal(view.back(as_mask(bright(view.image))).bitmap, bright(image) & shown)
    assert np.array_equal(view.cut(bright(image)), bright(view.image))


@pytest.mark.parametrize("size", [(300, 400), (400, 300), (1, 500), (500, 1), (40, 300), (1, 1)])
@pytest.mark.parametrize("across", [0.0, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("down", [0.0, 0.01, 0.5, 0.999])
def test_a_prompt_points_at_the_same_pixels_in_a_crop(size: Size, across: float, down: float) -> None:
    image, point = noise(*size), np.array([across * size[1], down * size[0]])
    view = views.crop(image, geometry.window(point, SIDE, size))
    prompt = Prompt(np.array([point]), np.array([1]), np.array([[*point, *point]]))
    moved = view.into(prompt)
    for (x, y), (column, row) in zip(
        [*moved.points, *moved.boxes.reshape(-1, 2)], [*prompt.points, *prompt.boxes.reshape(-1, 2)], strict=True
    ):
        assert view.image.rgb[int(y), int(x)].tolist() == image.rgb[int(row), int(column)].tolist()
    assert moved.point_labels.tolist() == [1]


def test_the_whole_image_is_a_view_that_changes_nothing() -> None:
    image, answer = noise(30, 40), as_mask(np.ones((30, 40), np.bool_))
    view = views.whole(image)
    prompt = Prompt(np.array([[3.5, 4.5]]), np.array([1]))
    assert view.image is image
    assert view.back(answer) is answer
    assert view.into(prompt).points.tobytes() == prompt.points.tobytes()


def test_equal_digests_mean_equal_pixels() -> None:
    image = noise(200, 200)
    crops = [views.crop(image, rectangle) for rectangle in [(0, 0, 64, 64), (0, 16, 64, 80), (16, 0, 80, 64)]]
    crops += [views.crop(noise(200, 200, seed=1), (0, 0, 64, 64)), views.whole(image)]
    assert len({view.image.digest for view in crops}) == len(crops)
    assert views.crop(image, (0, 0, 64, 64)).image.digest == crops[0].image.digest
    assert all(view.image.rgb.flags["C_CONTIGUOUS"] for view in crops)


# ------------------------------------------------------------------------------------------------ what is found


def finding(view: View, *covered: tuple[int, int, int, int]) -> Finding:
    """What is found when these cells of the low-resolution grid are covered."""
    height, width = INFO.low_res_size
    logits = np.full((4, height, width), -9, np.float32)
    for left, top, right, bottom in covered:
        logits[2, top:bottom, left:right] = 9
    size = view.image.original_size
    embedding = Embedding({}, size, geometry.input_size(size, INFO.image_size), "")
    return views.find(INFO, view, embedding, LowResMasks(logits, np.array([0, 0, 0.8, 0], np.float32)), 2)


CROP = views.crop(noise(600, 800), (100, 50, 484, 434))


def test_a_finding_says_where_a_mask_is_in_original_pixels() -> None:
    found = finding(CROP, (10, 20, 30, 25), (12, 30, 14, 31))
    assert found.extent.tolist() == [120, 90, 160, 112]
    assert found.score == pytest.approx(0.8)
    assert not found.is_broken
    assert finding(views.whole(noise(300, 400)), (0, 0, 192, 144)).extent.tolist() == [0, 0, 400, 300]


def test_a_mask_is_broken_at_an_edge_behind_which_the_image_goes_on() -> None:
    cells = [(0, 5, 3, 9), (5, 0, 9, 3), (188, 5, 192, 9), (5, 188, 9, 192)]
    inner = [(1, 5, 3, 9), (5, 1, 9, 3), (188, 5, 191, 9), (5, 188, 9, 191)]
    assert [finding(CROP, cell).is_broken for cell in cells] == [True] * 4
    assert [finding(CROP, cell).is_broken for cell in inner] == [False] * 4
    corner = views.crop(noise(384, 800), (0, 0, 384, 384))
    assert [finding(corner, cell).is_broken for cell in cells] == [False, False, True, False]


def test_an_empty_mask_has_no_extent_and_is_not_broken() -> None:
    found = finding(CROP)
    assert np.isnan(found.extent).all()
    assert not found.is_broken
