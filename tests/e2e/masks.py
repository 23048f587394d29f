"""Masks: saved regions read as Label Studio reads them, compared with what was drawn."""

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from label_studio_sdk.converter.brush import decode_rle, mask2rle
from PIL import Image

from examples.demo.drawing import Bitmap

Point = tuple[float, float]
Size = tuple[int, int]  # (height, width)
Value = dict[str, Any]

SUBPIXELS = 4  # bits


def bitmap(rle: list[int], shape: Sequence[int]) -> Bitmap:
    """The mask (H, W) of a brush RLE; ValueError unless it has exactly the image's natural size `shape` (H, W, ...)."""
    return np.asarray(decode_rle(rle)).reshape(shape[0], shape[1], 4)[..., 3] > 0


def painted(mask: Bitmap, label: str) -> dict[str, Any]:
    """A brush region with that mask, as Label Studio saves one."""
    height, width = mask.shape
    return {
        "id": "painted001",
        "type": "brushlabels",
        "origin": "manual",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": mask2rle(mask.astype(np.uint8) * 255), "brushlabels": [label]},
    }


def region_mask(region: dict[str, Any]) -> Bitmap:
    """The mask (H, W) of a saved region of any kind, at the size that it says its image has."""
    return _READERS[region["type"]](region["value"], (region["original_height"], region["original_width"]))


def _brush(value: Value, size: Size) -> Bitmap:
    assert value["format"] == "rle"
    return bitmap(value["rle"], size)


def _png(value: Value, size: Size) -> Bitmap:
    head, _, data = value["imageDataURL"].partition(",")
    assert head == "data:image/png;base64"
    alpha = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))[..., 3]
    assert alpha.shape == size
    return alpha > 0


def _polygon(value: Value, size: Size) -> Bitmap:
    assert value["closed"]
    return _filled(np.asarray(value["points"]) / 100 * size[::-1], size)


def _rectangle(value: Value, size: Size) -> Bitmap:
    assert value["rotation"] == 0
    x0, y0, width, height = (value[key] for key in ("x", "y", "width", "height"))
    corners = np.array([[x0, y0], [x0 + width, y0], [x0 + width, y0 + height], [x0, y0 + height]])
    return _filled(corners / 100 * size[::-1], size)


def _filled(outline: Any, size: Size) -> Bitmap:
    """The pixels (H, W) inside an outline (N, 2); pixel (0, 0) reaches from 0 to 1."""
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [np.round((outline - 0.5) * 2**SUBPIXELS).astype(np.int32)], 1, shift=SUBPIXELS)
    return canvas > 0


_READERS: dict[str, Callable[[Value, Size], Bitmap]] = {
    "brushlabels": _brush,
    "bitmasklabels": _png,
    "polygonlabels": _polygon,
    "rectanglelabels": _rectangle,
}


def iou(mask: Bitmap, truth: Bitmap) -> float:
    """Intersection over union."""
    return float((mask & truth).sum() / (mask | truth).sum())


def share(mask: Bitmap, truth: Bitmap) -> float:
    """How much of the thing the mask covers, 0..1."""
    return float((mask & truth).sum() / truth.sum())


def middle(truth: Bitmap) -> Point:
    """The thing's center (x, y)."""
    rows, columns = np.nonzero(truth)
    return float(columns.mean()), float(rows.mean())


def innermost(truth: Bitmap) -> Point:
    """The pixel (x, y) that is farthest from the thing's edges, where an annotator would click."""
    depth = _depth(truth)
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return float(column), float(row)


def next_click(mask: Bitmap, truth: Bitmap) -> tuple[Point, bool]:
    """The next click of the field's protocol, in the middle of the largest error, and whether it is positive."""
    missing, surplus = truth & ~mask, mask & ~truth
    is_positive = bool(_depth(missing).max() >= _depth(surplus).max())
    return innermost(missing if is_positive else surplus), is_positive


def _depth(area: Bitmap) -> Any:
    """How far each pixel lies inside the area (H, W)."""
    return cv2.distanceTransform(np.pad(area.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]


def tight_box(truth: Bitmap) -> Bitmap:
    """The pixels (H, W) of the thing's bounding box."""
    rows, columns = np.nonzero(truth)
    filled = np.zeros_like(truth)
    filled[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    return filled


def box(truth: Bitmap, margin: float = 8) -> tuple[float, float, float, float]:
    """The thing's box (x0, y0, x1, y1), drawn as generously as people draw it."""
    rows, columns = np.nonzero(truth)
    return columns.min() - margin, rows.min() - margin, columns.max() + margin, rows.max() + margin
