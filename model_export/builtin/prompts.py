"""Prompts as an annotator would give them: clicks in objects and in errors, boxes drawn by hand.

Masks here are low-res maps, (h, w); a click at their pixel (x, y) is ((x + .5) * 2 - .5, …) in the input frame.
"""

import cv2
import numpy as np
import numpy.typing as npt

Rng = np.random.Generator
Mask = npt.NDArray[np.bool_]
STEP = 2.0


def _input_frame(x: float, y: float) -> tuple[float, float]:
    return ((x + 0.5) * STEP - 0.5, (y + 0.5) * STEP - 0.5)


def middle(region: Mask) -> tuple[int, int]:
    """The pixel (x, y) farthest from the region's edge, the picture's border being an edge."""
    solid = cv2.copyMakeBorder(region.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    depth = cv2.distanceTransform(solid, cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(x), int(y)


def largest_piece(region: Mask) -> Mask:
    """The largest 8-connected piece; the region itself where it is empty."""
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
    if count < 3:
        return region
    return np.asarray(pieces == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))


def next_click(prediction: Mask, truth: Mask) -> tuple[tuple[int, int], int]:
    """The field's protocol: the middle of the largest error region, (x, y), and its label: 1 missed, 0 too much."""
    missed, extra = largest_piece(truth & ~prediction), largest_piece(prediction & ~truth)
    label = int(missed.sum() >= extra.sum())
    region = missed if label else extra
    return middle(region if region.any() else truth), label


def _anywhere(rng: Rng, region: Mask) -> tuple[int, int]:
    ys, xs = np.nonzero(region)
    at = int(rng.integers(len(xs)))
    return int(xs[at]), int(ys[at])


def first_click(rng: Rng, truth: Mask) -> tuple[float, float]:
    """A click in the object, in the input frame: often its middle, else anywhere inside, off the pixel's center."""
    if rng.random() < 0.5:
        x, y = middle(truth)
    else:
        inner = cv2.erode(truth.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        x, y = _anywhere(rng, inner if inner.any() else truth)
    return _input_frame(x + rng.uniform(-0.5, 0.5), y + rng.uniform(-0.5, 0.5))


def corrective_click(
    rng: Rng, prediction: Mask, truth: Mask, in_the_middle: float = 0.6
) -> tuple[tuple[float, float], int]:
    """A click on an error, in the input frame, and its label; mostly as `next_click`, else anywhere on an error."""
    if rng.random() < in_the_middle or not (prediction ^ truth).any():
        (x, y), label = next_click(prediction, truth)
    else:
        x, y = _anywhere(rng, prediction ^ truth)
        label = int(truth[y, x])
    return _input_frame(x + rng.uniform(-0.5, 0.5), y + rng.uniform(-0.5, 0.5)), label


def drawn_box(rng: Rng, truth: Mask) -> tuple[float, float, float, float]:
    """The object's box XYXY in the input frame, each side off by chance: a tenth of its length and 10 px at most."""
    ys, xs = np.nonzero(truth)
    x0, y0, x1, y1 = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
    loose = rng.choice([0.0, 0.03, 0.06])
    off = np.clip(rng.normal(0, loose, 4), -0.1, 0.1) * np.array([x1 - x0, y1 - y0] * 2)
    corners = np.array([x0, y0, x1, y1]) * STEP - 0.5 + np.clip(off * STEP, -10, 10)
    return tuple(float(c) for c in corners)  # type: ignore[return-value]
