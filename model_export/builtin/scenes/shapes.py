"""Outlines of many kinds, as closed contours in a frame of their own.

Every function takes a random generator and returns contours: a list of float (N, 2) arrays of x, y.
Filled together by the even-odd rule they give the shape; a second contour inside the first is a hole.
Scale and position mean nothing here: `fit` gives a shape the area and the center that the scene wants.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Contours = list[npt.NDArray[Any]]  # float64
Rng = np.random.Generator

_CANVAS = 256


def _angles(n: int) -> npt.NDArray[np.float64]:
    return np.linspace(0, 2 * np.pi, n, endpoint=False)


def _polar(radius: npt.NDArray[np.float64], angle: npt.NDArray[np.float64]) -> Contours:
    return [np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)]


def disc(rng: Rng) -> Contours:
    return _polar(np.ones(72), _angles(72))


def ellipse(rng: Rng) -> Contours:
    return [disc(rng)[0] * [1, rng.uniform(0.35, 0.95)]]


def rectangle(rng: Rng) -> Contours:
    h = rng.uniform(0.25, 1)
    return [np.array([[-1, -h], [1, -h], [1, h], [-1, h]])]


def rounded_rectangle(rng: Rng) -> Contours:
    w, h, r = 1.0, rng.uniform(0.3, 1), rng.uniform(0.1, 0.3)
    corner = _angles(64)
    x = np.sign(np.cos(corner)) * (w - r) + r * np.cos(corner)
    y = np.sign(np.sin(corner)) * (max(h, r) - r) + r * np.sin(corner)
    return [np.stack([x, y], 1)]


def regular_polygon(rng: Rng) -> Contours:
    n = int(rng.integers(3, 9))
    return [_polar(np.ones(n), _angles(n))[0] * [1, rng.uniform(0.6, 1)]]


def irregular_polygon(rng: Rng) -> Contours:
    n = int(rng.integers(4, 9))
    angle = _angles(n) + rng.uniform(-0.35, 0.35, n) * 2 * np.pi / n
    return _polar(rng.uniform(0.5, 1, n), angle)


def star(rng: Rng) -> Contours:
    n = int(rng.integers(4, 9))
    radius = np.where(np.arange(2 * n) % 2 == 0, 1.0, rng.uniform(0.35, 0.7))
    return _polar(radius, _angles(2 * n))


def gear(rng: Rng) -> Contours:
    n, angle = int(rng.integers(7, 15)), _angles(240)
    outer = _polar(1 + 0.12 * np.tanh(6 * np.sin(n * angle)), angle)
    return outer + _polar(np.full(48, rng.uniform(0.15, 0.4)), _angles(48))


def blob(rng: Rng) -> Contours:
    angle, radius = _angles(160), np.ones(160)
    for k in range(1, 6):
        radius += rng.normal(0, 0.28 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    return _polar(np.maximum(radius, 0.25), angle)


def leaf(rng: Rng) -> Contours:
    angle = np.linspace(0, np.pi, 40)
    width = rng.uniform(0.2, 0.5) * np.sin(angle) * (1 + 0.3 * np.cos(angle))
    x = np.cos(angle)
    upper = np.stack([x, width], 1)
    lower = np.stack([x[::-1], -width[::-1]], 1)
    return [np.concatenate([upper, lower])]


def heart(rng: Rng) -> Contours:
    t = _angles(100)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [np.stack([16 * np.sin(t) ** 3, -y], 1) / 16]


def ring(rng: Rng) -> Contours:
    outer = ellipse(rng) if rng.random() < 0.4 else disc(rng)
    return [outer[0], outer[0] * rng.uniform(0.4, 0.75)]


def crescent(rng: Rng) -> Contours:
    half = rng.uniform(0.6, 1.1)
    outer = np.linspace(half, 2 * np.pi - half, 60)
    tips = np.stack([np.cos(outer), np.sin(outer)], 1)
    bulge = rng.uniform(-0.6, 0.2)
    y = np.linspace(tips[-1, 1], tips[0, 1], 30)
    sag = 1 - (y / tips[0, 1]) ** 2
    return [np.concatenate([tips, np.stack([tips[0, 0] + (bulge - np.cos(half)) * sag * 0.7, y], 1)])]


def cross(rng: Rng) -> Contours:
    w = rng.uniform(0.2, 0.45)
    a = np.array([[w, w], [1, w], [1, -w], [w, -w]])
    turns = [np.array([[0, 1], [-1, 0]]), np.array([[-1, 0], [0, -1]]), np.array([[0, -1], [1, 0]])]
    return [np.concatenate([a, *(a @ turn for turn in turns)])]


def arrow(rng: Rng) -> Contours:
    w, neck = rng.uniform(0.12, 0.3), rng.uniform(-0.1, 0.4)
    half = np.array([[-1, w], [neck, w], [neck, w + rng.uniform(0.2, 0.5)], [1, 0]])
    return [np.concatenate([half, half[-2::-1] * [1, -1]])]


def capsule(rng: Rng) -> Contours:
    """A rod: long and thin, straight or bent."""
    n, half = 40, rng.uniform(0.06, 0.22)
    t = np.linspace(-1, 1, n)
    bend = rng.uniform(-0.5, 0.5) * t**2 + rng.uniform(-0.25, 0.25) * t**3
    spine = np.stack([t, bend], 1)
    tangent = np.gradient(spine, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    width = half * np.sqrt(np.clip(1 - t**6, 0.02, 1))[:, None]
    return [np.concatenate([spine + normal * width, (spine - normal * width)[::-1]])]


def _traced(mask: npt.NDArray[np.uint8]) -> Contours:
    found, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    smooth = [cv2.GaussianBlur(c[:, 0].astype(np.float64), (1, 5), 1.2) for c in found if len(c) > 12]
    return smooth or [np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])]


def letter(rng: Rng) -> Contours:
    canvas = np.zeros((_CANVAS, _CANVAS), np.uint8)
    text = "ABCDEFGHJKLMNPQRSTUVWXYZ2345678&?"[int(rng.integers(33))]
    font = cv2.FONT_HERSHEY_SIMPLEX if rng.random() < 0.6 else cv2.FONT_HERSHEY_DUPLEX
    cv2.putText(canvas, text, (60, 200), font, 6.0, 255, int(rng.integers(22, 46)), cv2.LINE_AA)
    return _traced((canvas > 127).astype(np.uint8))


def stroke(rng: Rng) -> Contours:
    """A thick curve, as a brush or a cable would leave."""
    canvas = np.zeros((_CANVAS, _CANVAS), np.uint8)
    knots = np.cumsum(rng.normal(0, 1, (int(rng.integers(3, 6)), 2)), 0)
    knots = (knots - knots.mean(0)) / (np.ptp(knots, axis=0).max() + 1e-6) * 170 + _CANVAS / 2
    path = cv2.resize(knots.astype(np.float32)[:, None], (1, 80), interpolation=cv2.INTER_LINEAR)
    path = cv2.GaussianBlur(path, (1, 31), 7)
    cv2.polylines(canvas, [path.astype(np.int32)], False, 255, int(rng.integers(12, 34)), cv2.LINE_AA)
    return _traced((canvas > 127).astype(np.uint8))


def composite(rng: Rng) -> Contours:
    """Two to four simple shapes grown together into one outline, as a mushroom or a bottle is."""
    canvas = np.zeros((_CANVAS, _CANVAS), np.uint8)
    center = np.array([_CANVAS / 2, _CANVAS / 2])
    for _ in range(int(rng.integers(2, 5))):
        part = fit(_pick(rng, _SIMPLE)(rng), rng.uniform(1500, 7000), center, rng.uniform(0, 2 * np.pi))
        cv2.fillPoly(canvas, [c.astype(np.int32) for c in part], 255)
        turn = rng.uniform(0, 2 * np.pi)
        center = np.clip(center + rng.uniform(25, 55) * np.array([np.cos(turn), np.sin(turn)]), 60, 196)
    return _traced((canvas > 0).astype(np.uint8))


Shape = Callable[[Rng], Contours]
_SIMPLE: tuple[Shape, ...] = (disc, ellipse, rectangle, rounded_rectangle, regular_polygon, leaf, capsule)
KINDS: dict[str, tuple[Shape, float]] = {
    "disc": (disc, 1.3),
    "ellipse": (ellipse, 1.5),
    "rectangle": (rectangle, 1.5),
    "rounded_rectangle": (rounded_rectangle, 1),
    "regular_polygon": (regular_polygon, 1.2),
    "irregular_polygon": (irregular_polygon, 1.2),
    "star": (star, 1),
    "gear": (gear, 0.5),
    "blob": (blob, 2.5),
    "leaf": (leaf, 0.8),
    "heart": (heart, 0.5),
    "ring": (ring, 0.8),
    "crescent": (crescent, 0.6),
    "cross": (cross, 0.5),
    "arrow": (arrow, 0.5),
    "capsule": (capsule, 1.2),
    "letter": (letter, 1),
    "stroke": (stroke, 0.8),
    "composite": (composite, 2.5),
}


def _pick(rng: Rng, shapes: tuple[Shape, ...]) -> Shape:
    return shapes[int(rng.integers(len(shapes)))]


def random_kind(rng: Rng) -> str:
    """A name of `KINDS`, by weight."""
    weights = np.array([weight for _, weight in KINDS.values()])
    return list(KINDS)[int(rng.choice(len(KINDS), p=weights / weights.sum()))]


def area(contours: Contours) -> float:
    """The area that the even-odd rule fills.

    It is the largest contour less the others, which are its holes or, in a traced shape of several pieces, small.
    """
    sizes = sorted(abs(cv2.contourArea(c.astype(np.float32))) for c in contours)
    return max(sizes[-1] - sum(sizes[:-1]), 0.2 * sizes[-1])


def fit(contours: Contours, target: float, center: npt.ArrayLike, turn: float) -> Contours:
    """The shape turned by `turn` radians, scaled to `target` square pixels, its box centered on `center`."""
    c, s = np.cos(turn), np.sin(turn)
    turned = [p @ np.array([[c, s], [-s, c]]) for p in contours]
    every = np.concatenate(turned)
    middle = (every.min(0) + every.max(0)) / 2
    scale = np.sqrt(target / area(contours))
    return [(p - middle) * scale + np.asarray(center) for p in turned]
