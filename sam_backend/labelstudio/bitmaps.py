"""Read the regions that we answer with back into masks."""

import base64
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.labelstudio import rle
from sam_backend.sam.types import Size

Bitmap = NDArray[np.bool_]

_FRACTION_BITS = 4


def bitmap(region: Mapping[str, Any], size: Size) -> Bitmap:
    """A region's mask.

    Args:
        region: a result of `results.written`.
        size: (H, W) of the upright image.

    Returns:
        bool (H, W) in original pixels.
    """
    value = region["value"]
    if "rle" in value:
        return rle.decode(value["rle"], size)
    if "imageDataURL" in value:
        png = np.frombuffer(base64.b64decode(value["imageDataURL"].partition(",")[2]), np.uint8)
        alpha: Bitmap = np.asarray(cv2.imdecode(png, cv2.IMREAD_UNCHANGED))[..., 3] > 0
        return alpha
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [_ring(value, size)], 1, shift=_FRACTION_BITS)
    return canvas.view(np.bool_)


def _ring(value: Mapping[str, Any], size: Size) -> NDArray[np.int32]:
    """The outline of a polygon, an ellipse or a rectangle; int32 (N, 2), (x, y) in parts of a pixel."""
    scale = np.array([size[1], size[0]]) / 100
    if "points" in value:
        ring = np.array(value["points"]) * scale
    elif "radiusX" in value:
        ring = _ellipse(value, scale)
    else:
        x, y, width, height = (value[key] for key in ("x", "y", "width", "height"))
        ring = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]]) * scale
    # OpenCV counts from the middle of the first pixel.
    return ((ring - 0.5) * (1 << _FRACTION_BITS)).astype(np.int32)


def _ellipse(value: Mapping[str, Any], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    around = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    turn = np.deg2rad(value.get("rotation", 0))
    x, y = np.cos(around) * value["radiusX"] * scale[0], np.sin(around) * value["radiusY"] * scale[1]
    turned = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], 1)
    ring: NDArray[np.float64] = np.array([value["x"], value["y"]]) * scale + turned
    return ring
