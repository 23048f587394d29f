"""The simple shapes of a mask: its box, a rectangle, an ellipse.

A mask's pixel (x, y) covers [x, x + 1) × [y, y + 1) of the image. Label Studio's coordinates are in percent: x, widths
and horizontal radii of the image's width, y, heights and vertical radii of its height.
"""

import math

import cv2
import numpy as np

from sam_backend.sam.patch import Patch


def rectangle(patch: Patch) -> dict[str, float]:
    """The value of a rectangle region: the mask's tight box in percent, not turned.

    Args:
        patch: the mask, not empty.
    """
    height, width = patch.original_size
    x0, y0, x1, y1 = patch.rectangle
    return {
        "x": 100 * x0 / width,
        "y": 100 * y0 / height,
        "width": 100 * (x1 - x0) / width,
        "height": 100 * (y1 - y0) / height,
        "rotation": 0,
    }


def ellipse(patch: Patch) -> dict[str, float]:
    """The value of an ellipse region: the ellipse that has the mask's center and second moments.

    Of a mask that is an ellipse, it is that ellipse. `radiusX` lies along the longer axis and is in percent of the
    image's width, `radiusY` in percent of its height, whatever the rotation: the editor scales them before it turns
    them by `rotation` degrees, clockwise as one sees it. It may reach a little beyond the mask, and the image.

    Args:
        patch: the mask, not empty.
    """
    height, width = patch.original_size
    x0, y0 = patch.rectangle[:2]
    moments = cv2.moments(patch.shown.view(np.uint8), binaryImage=True)
    area = moments["m00"]
    long, short, angle = _axes(*(moments[key] / area for key in ("mu20", "mu11", "mu02")))
    return {
        "x": 100 * (x0 + moments["m10"] / area + 0.5) / width,
        "y": 100 * (y0 + moments["m01"] / area + 0.5) / height,
        "radiusX": 100 * long / width,
        "radiusY": 100 * short / height,
        "rotation": angle,
    }


def _axes(xx: float, xy: float, yy: float) -> tuple[float, float, float]:
    """The radii in pixels, longer one first, and its direction in degrees of [0, 180), from x towards y.

    A pixel has an extent of its own, whose second moment is 1/12 in x and in y; an ellipse's along an axis is a quarter
    of the radius squared.
    """
    middle, half = (xx + yy) / 2 + 1 / 12, math.hypot((xx - yy) / 2, xy)
    angle = math.degrees(math.atan2(2 * xy, xx - yy)) / 2
    return 2 * math.sqrt(middle + half), 2 * math.sqrt(middle - half), angle % 180
