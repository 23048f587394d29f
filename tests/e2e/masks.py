"""Masks: read as Label Studio reads them, compared with what was drawn."""

from collections.abc import Sequence

import numpy as np
from label_studio_sdk.converter.brush import decode_rle

from examples.demo.drawing import Bitmap

Point = tuple[float, float]


def bitmap(rle: list[int], shape: Sequence[int]) -> Bitmap:
    """The mask (H, W) of a brush RLE; ValueError unless it has exactly the image's natural size `shape` (H, W, ...)."""
    return np.asarray(decode_rle(rle)).reshape(shape[0], shape[1], 4)[..., 3] > 0


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


def box(truth: Bitmap, margin: float = 8) -> tuple[float, float, float, float]:
    """The thing's box (x0, y0, x1, y1), drawn as generously as people draw it."""
    rows, columns = np.nonzero(truth)
    return columns.min() - margin, rows.min() - margin, columns.max() + margin, rows.max() + margin
