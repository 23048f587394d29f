"""Still lifes drawn by formula: shaded, textured things on a table, and the exact pixels of each.

`python -m examples.demo.scenes FOLDER` writes the example images with it; the browser's tests hold masks against it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rgb = NDArray[np.uint8]
Bitmap = NDArray[np.bool_]
Color = tuple[int, int, int]
Size = tuple[int, int]  # (height, width)

LIGHT = np.array([-0.5, -0.62, 0.6], np.float32)  # from the upper left, towards the viewer
SUPERSAMPLING = 2


@dataclass(frozen=True)
class Thing:
    """One object: its outline (N, 2) in pixels as (x, y), and how its surface looks."""

    label: str
    outline: Floats
    color: Color
    blush: Color  # the surface wanders between the two colors
    gloss: float = 0.25
    flatness: float = 1.0  # 1: as round as a ball, more: flatter
    veins: bool = False  # a leaf's


@dataclass(frozen=True)
class Drawing:
    """The picture (H, W, 3), and for each thing the pixels where it is seen (H, W)."""

    rgb: Rgb
    visible: tuple[Bitmap, ...]


def noise(shape: Size, scale: tuple[float, float], rng: np.random.Generator) -> Floats:
    """Smooth noise in 0..1 whose blots are about `scale` = (height, width) pixels large."""
    small = rng.random((max(2, round(shape[0] / scale[0])), max(2, round(shape[1] / scale[1]))), np.float32)
    return np.clip(cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC), 0, 1).astype(np.float32)


def wood(shape: Size, rng: np.random.Generator) -> Floats:
    """Boards of a dark table, 0..1 (H, W, 3)."""
    rings = noise(shape, (70, 900), rng) * 9 + noise(shape, (6, 240), rng) * 0.9
    grain = 0.5 + 0.5 * np.sin(rings * 2 * np.pi)
    tone = 0.75 + 0.18 * grain + 0.1 * noise(shape, (2, 90), rng)
    tone[(np.arange(shape[0]) + 40) % 210 < 3] *= 0.55
    return (tone[..., None] * np.array([0.50, 0.36, 0.25])).astype(np.float32)


def cloth(shape: Size, rng: np.random.Generator) -> Floats:
    """A light woven cloth, 0..1 (H, W, 3)."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    weave = 0.5 + 0.25 * (np.sin(x * 1.1) + np.sin(y * 1.1))
    tone = 0.78 + 0.07 * weave + 0.12 * noise(shape, (260, 320), rng) + 0.05 * noise(shape, (2, 2), rng)
    return (tone[..., None] * np.array([0.93, 0.90, 0.83])).astype(np.float32)


def sand(shape: Size, rng: np.random.Generator) -> Floats:
    """Coarse sand, 0..1 (H, W, 3)."""
    tone = 0.55 + 0.22 * noise(shape, (1.3, 1.3), rng) + 0.12 * noise(shape, (9, 14), rng)
    tone += 0.12 * noise(shape, (140, 220), rng)
    return (tone[..., None] * np.array([0.98, 0.88, 0.70])).astype(np.float32)


def draw(
    background: Callable[[Size, np.random.Generator], Floats],
    shape: Size,
    things: tuple[Thing, ...],
    seed: int,
) -> Drawing:
    """Put the things on the background, each over those before it. `shape` is (H, W)."""
    rng = np.random.default_rng(seed)
    picture: NDArray[Any] = background(shape, rng)
    coverages = [_coverage(thing.outline, shape) for thing in things]
    for thing, coverage in zip(things, coverages, strict=True):
        picture = picture * (1 - 0.62 * _shadow(coverage))[..., None]
        picture += (_surface(thing, coverage, rng) - picture) * coverage[..., None]
    picture = cv2.GaussianBlur(picture, (0, 0), 0.6) + rng.normal(0, 0.012, picture.shape).astype(np.float32)
    rgb = np.clip(picture * 255, 0, 255).astype(np.uint8)
    return Drawing(rgb, tuple(_visible(coverages, index) for index in range(len(things))))


def _visible(coverages: list[Floats], index: int) -> Bitmap:
    seen: Bitmap = coverages[index] > 0.5
    for later in coverages[index + 1 :]:
        seen &= later <= 0.5
    return seen


def _coverage(outline: Floats, shape: Size) -> Floats:
    """How much of each pixel lies inside the outline, 0..1 (H, W)."""
    large = np.zeros((shape[0] * SUPERSAMPLING, shape[1] * SUPERSAMPLING), np.uint8)
    cv2.fillPoly(large, [np.round(outline * SUPERSAMPLING).astype(np.int32)], 255)
    coverage: Floats = cv2.resize(large, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    return coverage / np.float32(255)


def _shadow(coverage: Floats) -> Floats:
    """Where the thing darkens what lies under it: close and dark, then wide and faint."""
    size = float(np.sqrt(coverage.sum()))
    soft: NDArray[Any] = np.zeros_like(coverage)
    for shift, blur, weight in ((0.03, 0.02, 0.45), (0.09, 0.06, 0.55)):
        move = np.array([[1, 0, shift * size], [0, 1, shift * size * 1.1]], np.float32)
        moved = cv2.warpAffine(coverage, move, coverage.shape[::-1])
        soft += weight * cv2.GaussianBlur(moved, (0, 0), blur * size + 0.5)
    return soft.astype(np.float32)


def _surface(thing: Thing, coverage: Floats, rng: np.random.Generator) -> Floats:
    """The thing's colors under the light, 0..1 (H, W, 3); of use inside its outline only."""
    normals = _normals(coverage, thing.flatness)
    light = LIGHT / np.linalg.norm(LIGHT)
    diffuse = np.clip(normals @ light, 0, 1)
    halfway = light + np.array([0, 0, 1], np.float32)
    shine = np.clip(normals @ (halfway / np.linalg.norm(halfway)), 0, 1) ** 40 * thing.gloss
    size = float(np.sqrt(coverage.sum()))
    wander = noise(coverage.shape, (size / 2, size / 2), rng) * 0.8 + noise(coverage.shape, (6, 6), rng) * 0.2
    color = np.asarray(thing.color) + wander[..., None] * (np.asarray(thing.blush) - np.asarray(thing.color))
    if thing.veins:
        color = color * (1 + 0.45 * _veins(thing.outline, coverage.shape))[..., None]
    lit = color / 255 * (0.52 + 0.56 * diffuse)[..., None] + shine[..., None]
    return np.asarray(lit, np.float32)


def _normals(coverage: Floats, flatness: float) -> Floats:
    """Unit normals (H, W, 3) of a body that is as high in its middle as it is wide there."""
    depth = cv2.distanceTransform((coverage > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    reach = max(float(depth.max()), 1.0)
    height = reach * np.sqrt(np.clip(1 - (1 - depth / reach) ** 2, 0, 1)) / flatness
    height = cv2.GaussianBlur(height, (0, 0), reach * 0.12 + 0.5)
    slope_y, slope_x = np.gradient(height)
    normals: NDArray[Any] = np.stack([-slope_x, -slope_y, np.ones_like(height)], axis=-1)
    return np.asarray(normals / np.linalg.norm(normals, axis=-1, keepdims=True), np.float32)


def _veins(outline: Floats, shape: Size) -> Floats:
    """Light lines from the leaf's stem (the outline's first point) to its tip, and from there to its edge."""
    stem, half = outline[0], len(outline) // 2
    tip = outline[half]
    lines = np.zeros(shape, np.float32)
    cv2.line(lines, _pixel(stem), _pixel(tip), 1.0, 3, cv2.LINE_AA)
    for step in np.linspace(0.12, 0.75, 7):
        for side in (step + 0.16, 2 - step - 0.16):
            edge = outline[round(side * half) % len(outline)]
            root = stem + (tip - stem) * step
            cv2.line(lines, _pixel(root), _pixel(root + 0.9 * (edge - root)), 0.6, 2, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(lines, (0, 0), 1.0), np.float32)


def _pixel(point: Floats) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
