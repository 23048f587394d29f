"""One object onto the picture: its shadow, its surface, its place in the label map."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from model_export.builtin.scenes import textures
from model_export.builtin.scenes.shapes import Contours
from model_export.builtin.scenes.textures import Array, Rng

_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Surface:
    """How an object looks. Strengths are in units of the full range of a channel."""

    color: Array
    second: Array
    pattern: float = 0.0
    decals: int = 0
    light: float = 0.0
    bulge: float = 0.0
    rim: float = 0.0
    relief: float = 0.0
    shadow: float = 0.0
    softness: float = 0.0


@dataclass
class Canvas:
    """The picture being drawn: `rgb` float32 (H, W, 3) in [0, 1] and `labels` uint8 (H, W), 0 for the background."""

    rgb: Array
    labels: npt.NDArray[np.uint8]
    sun: float


@dataclass(frozen=True)
class _Window:
    """The part of the picture that an object may touch."""

    x: int
    y: int
    w: int
    h: int

    def of(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array[self.y : self.y + self.h, self.x : self.x + self.w]


def _window(contours: Contours, margin: int, shape: tuple[int, ...]) -> _Window:
    points = np.concatenate(contours)
    x0, y0 = np.maximum(np.floor(points.min(0)).astype(int) - margin, 0)
    x1, y1 = np.minimum(np.ceil(points.max(0)).astype(int) + margin + 1, (shape[1], shape[0]))
    return _Window(int(x0), int(y0), int(max(x1 - x0, 0)), int(max(y1 - y0, 0)))


def fill(contours: Contours, x: int, y: int, w: int, h: int) -> Array:
    """Coverage of each pixel of the window, in [0, 1]."""
    mask = np.zeros((h, w), np.uint8)
    fixed = [np.round((c - (x, y)) * (1 << _SUBPIXEL_BITS)).astype(np.int32) for c in contours]
    cv2.fillPoly(mask, fixed, 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    return mask.astype(np.float32) / 255


def _decals(rng: Rng, surface: Surface, rgb: Array, cover: Array) -> Array:
    """Spots, bars and patches of another color on the object."""
    ys, xs = np.nonzero(cover > 0.9)
    mask = np.zeros(cover.shape, np.uint8)
    size = np.sqrt(len(xs)) * 0.5
    for _ in range(surface.decals):
        at = int(rng.integers(len(xs)))
        axes = (int(size * rng.uniform(0.1, 0.45)) + 1, int(size * rng.uniform(0.1, 0.45)) + 1)
        center = (int(xs[at]), int(ys[at]))
        cv2.ellipse(mask, center, axes, float(rng.uniform(0, 180)), 0, 360, 255, -1, cv2.LINE_AA)
    share = (mask.astype(np.float32) / 255)[..., None]
    return rgb * (1 - share) + surface.second * share


def _shading(rng: Rng, surface: Surface, cover: Array, sun: float) -> Array:
    """What light adds to the surface: falloff across it, roundness, a rim, relief."""
    h, w = cover.shape
    shade = np.zeros((h, w), np.float32)
    if surface.light:
        shade += surface.light * textures.ramp(rng, h, w)
    toward = np.array([np.cos(sun), np.sin(sun)], np.float32)
    if surface.bulge or surface.rim:
        solid = cv2.copyMakeBorder((cover > 0.5).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        depth = cv2.distanceTransform(solid, cv2.DIST_L2, 3)[1:-1, 1:-1]
        reach = max(float(depth.max()), 1.0)
        height = cv2.GaussianBlur(np.sqrt(np.clip(depth / reach, 0, 1)), (0, 0), max(reach / 5, 0.8))
        slope = cv2.Sobel(height, -1, 1, 0) * toward[0] + cv2.Sobel(height, -1, 0, 1) * toward[1]
        shade += surface.bulge * np.clip(-slope * reach / 3, -1, 1)
        shade += surface.rim * np.exp(-depth / max(reach * 0.08, 1.0))
    if surface.relief:
        bumps = textures.clouds(rng, h, w, max(np.sqrt(h * w) / rng.uniform(4, 9), 4))
        bumps = (bumps > rng.uniform(-0.2, 0.3)).astype(np.float32) + 0.4 * bumps
        slope = cv2.Sobel(bumps, -1, 1, 0) * toward[0] + cv2.Sobel(bumps, -1, 0, 1) * toward[1]
        shade += surface.relief * np.clip(cv2.GaussianBlur(-slope, (0, 0), 0.9), -1, 1)
    return shade


def _appearance(rng: Rng, surface: Surface, cover: Array, sun: float) -> Array:
    h, w = cover.shape
    rgb = np.broadcast_to(surface.color, (h, w, 3))
    if surface.pattern:
        grain = max(np.sqrt(h * w) * rng.uniform(0.06, 0.4), 3)
        share = (textures.pattern(rng, h, w, grain)[..., None] + 1) / 2 * surface.pattern
        rgb = rgb * (1 - share) + surface.second * share
    if surface.decals:
        rgb = _decals(rng, surface, rgb, cover)
    return rgb + _shading(rng, surface, cover, sun)[..., None]


def _cast_shadow(canvas: Canvas, contours: Contours, strength: float, extent: float) -> None:
    reach = extent * 0.12 + 2
    moved = [c - reach * np.array([np.cos(canvas.sun), np.sin(canvas.sun)]) for c in contours]
    window = _window(moved, int(3 * reach) + 2, canvas.labels.shape)
    if window.w < 2 or window.h < 2:
        return
    dark = cv2.GaussianBlur(fill(moved, window.x, window.y, window.w, window.h), (0, 0), reach * 0.6)
    window.of(canvas.rgb)[...] *= 1 - strength * dark[..., None]


def paint(rng: Rng, canvas: Canvas, contours: Contours, surface: Surface, label: int) -> None:
    """Draw the object over what is there, and its `label` over its pixels."""
    extent = float(np.sqrt(np.prod(np.ptp(np.concatenate(contours), axis=0))))
    if surface.shadow:
        _cast_shadow(canvas, contours, surface.shadow, extent)
    window = _window(contours, 2 + int(3 * surface.softness), canvas.labels.shape)
    if window.w < 4 or window.h < 4:
        return
    cover = fill(contours, window.x, window.y, window.w, window.h)
    inside = cover >= 0.5
    if inside.sum() < 12 or not (cover > 0.9).any():
        return
    look = _appearance(rng, surface, cover, canvas.sun)
    soft = cv2.GaussianBlur(cover, (0, 0), surface.softness) if surface.softness else cover
    rgb = window.of(canvas.rgb)
    rgb[...] = rgb * (1 - soft[..., None]) + look * soft[..., None]
    window.of(canvas.labels)[inside] = label
