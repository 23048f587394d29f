"""Rectangles and ellipses hold their masks, to the edges of the pixels; bitmasks are the mask itself."""

import base64
import io
import math

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from sam_backend.labelstudio import bitmask, shapes
from sam_backend.sam.patch import Patch

Bitmap = NDArray[np.bool_]
BITMAPS = arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12)).filter(lambda b: b.any())


def drawn(size: tuple[int, int], center: tuple[float, float], radii: tuple[float, float], angle: float) -> Bitmap:
    """The pixels whose middle lies in an ellipse; `angle` in degrees, from x towards y."""
    y, x = np.indices(size) + 0.5
    x, y, turn = x - center[0], y - center[1], math.radians(angle)
    along, across = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    inside: Bitmap = (along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1
    return inside


@given(BITMAPS)
def test_the_box_is_tight(bitmap: Bitmap) -> None:
    x0, y0, x1, y1 = Patch.of(bitmap).rectangle
    inside = bitmap[y0:y1, x0:x1]
    assert inside.sum() == bitmap.sum()
    assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_a_rectangle_is_in_percent_of_each_side() -> None:
    bitmap = np.zeros((10, 40), np.bool_)
    bitmap[9, 39] = bitmap[5, 20] = True
    assert shapes.rectangle(Patch.of(bitmap)) == {"x": 50, "y": 50, "width": 50, "height": 50, "rotation": 0}
    one = Patch.of(np.ones((1, 1), np.bool_))
    assert shapes.rectangle(one) == {"x": 0, "y": 0, "width": 100, "height": 100, "rotation": 0}


@pytest.mark.parametrize("angle", [0, 20, 45, 90, 135, 179])
def test_an_ellipse_is_found_again(angle: float) -> None:
    found = shapes.ellipse(Patch.of(drawn((200, 400), (170.5, 90.25), (60, 25), angle)))
    assert found["x"] * 4 == pytest.approx(170.5, abs=0.1)
    assert found["y"] * 2 == pytest.approx(90.25, abs=0.15)
    assert found["radiusX"] * 4 == pytest.approx(60, abs=0.3)
    assert found["radiusY"] * 2 == pytest.approx(25, abs=0.3)
    assert abs((found["rotation"] - angle + 90) % 180 - 90) < 0.5


@given(BITMAPS)
def test_an_ellipse_has_numbers_that_the_editor_can_draw(bitmap: Bitmap) -> None:
    found = shapes.ellipse(Patch.of(bitmap))
    assert 0 < found["x"] < 100
    assert 0 < found["y"] < 100
    assert found["radiusX"] > 0
    assert found["radiusY"] > 0
    assert 0 <= found["rotation"] <= 180


def test_one_pixel_is_a_circle_of_about_its_area() -> None:
    bitmap = np.zeros((100, 100), np.bool_)
    bitmap[30, 70] = True
    found = shapes.ellipse(Patch.of(bitmap))
    assert (found["x"], found["y"]) == (70.5, 30.5)
    assert math.pi * found["radiusX"] * found["radiusY"] == pytest.approx(1, abs=0.05)


@given(BITMAPS | BITMAPS.map(np.transpose))
def test_a_bitmask_is_the_mask_in_alpha_and_black(bitmap: Bitmap) -> None:
    head, _, data = bitmask.data_url(Patch.of(bitmap)).partition(",")
    assert head == "data:image/png;base64"
    png = base64.b64decode(data, validate=True)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    with PIL.Image.open(io.BytesIO(png)) as picture:
        assert picture.mode == "RGBA"
        rgba: NDArray[np.uint8] = np.asarray(picture)
    assert np.array_equal(rgba[..., 3], bitmap * np.uint8(255))
    assert not rgba[..., :3].any()
    read = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert read is not None
    assert np.array_equal(read, rgba)
