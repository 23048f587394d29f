"""What surfaces look like: noise, patterns and colors, as float32 arrays.

A pattern is (h, w) in [-1, 1]; a color is (3,) in [0, 1].
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]  # float32 throughout; the arithmetic's stubs lose track of it
Rng = np.random.Generator


def noise(rng: Rng, h: int, w: int, grain: float) -> Array:
    """Smooth noise whose bumps are about `grain` pixels wide, in [-1, 1]."""
    small = (max(int(h / grain), 1) + 2, max(int(w / grain), 1) + 2)
    seeds = rng.uniform(-1, 1, small).astype(np.float32)
    return np.clip(cv2.resize(seeds, (w, h), interpolation=cv2.INTER_CUBIC), -1, 1)


def clouds(rng: Rng, h: int, w: int, grain: float) -> Array:
    """Three octaves of noise."""
    out = noise(rng, h, w, grain) + 0.5 * noise(rng, h, w, grain / 2) + 0.25 * noise(rng, h, w, grain / 4)
    return np.clip(out / 1.2, -1, 1)


def _grid(rng: Rng, h: int, w: int) -> tuple[Array, Array]:
    turn = rng.uniform(0, np.pi)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    return (x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn))


def stripes(rng: Rng, h: int, w: int, grain: float) -> Array:
    u, _ = _grid(rng, h, w)
    wave = np.sin(u * (2 * np.pi / grain) + rng.uniform(0, 6) + rng.uniform(0, 2) * noise(rng, h, w, grain * 3))
    return np.clip(wave * rng.uniform(1, 5), -1, 1).astype(np.float32)


def checks(rng: Rng, h: int, w: int, grain: float) -> Array:
    u, v = _grid(rng, h, w)
    return np.clip(6 * np.sin(u * np.pi / grain) * np.sin(v * np.pi / grain), -1, 1).astype(np.float32)


def dots(rng: Rng, h: int, w: int, grain: float) -> Array:
    u, v = _grid(rng, h, w)
    bumps = np.cos(u * (2 * np.pi / grain)) + np.cos(v * (2 * np.pi / grain))
    return np.clip(4 * (bumps - rng.uniform(0.2, 1)), -1, 1).astype(np.float32)


def speckle(rng: Rng, h: int, w: int, grain: float) -> Array:
    """Fine grain, as of sand or paper."""
    fine = rng.standard_normal((h, w), dtype=np.float32)
    return np.clip(cv2.GaussianBlur(fine, (0, 0), max(grain / 12, 0.5)) * 1.2, -1, 1)


PATTERNS = (noise, clouds, clouds, stripes, checks, dots, speckle, speckle)


def pattern(rng: Rng, h: int, w: int, grain: float) -> Array:
    """One of the patterns, chosen by chance."""
    return PATTERNS[int(rng.integers(len(PATTERNS)))](rng, h, w, grain)


def ramp(rng: Rng, h: int, w: int) -> Array:
    """Light falling off across the surface: linear or from a spot, in [-1, 1]."""
    y, x = np.mgrid[:h, :w].astype(np.float32)
    x, y = 2 * x / max(w - 1, 1) - 1, 2 * y / max(h - 1, 1) - 1
    if rng.random() < 0.6:
        turn = rng.uniform(0, 2 * np.pi)
        return np.clip(x * np.cos(turn) + y * np.sin(turn), -1, 1).astype(np.float32)
    far = np.hypot(x - rng.uniform(-0.8, 0.8), y - rng.uniform(-0.8, 0.8))
    return np.clip(1 - far, -1, 1).astype(np.float32)


def color(rng: Rng) -> Array:
    """Any color: half of them muted, as most of the world is."""
    hue, value = rng.uniform(0, 180), rng.uniform(25, 250)
    saturation = rng.uniform(0, 90) if rng.random() < 0.5 else rng.uniform(60, 255)
    hsv = np.array([[[hue, saturation, value]]], np.uint8)
    return (cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] / 255).astype(np.float32)


def color_apart(rng: Rng, other: Array, apart: float) -> Array:
    """A color whose largest channel difference from `other` is at least `apart`, in [0, 1].

    Where `apart` is small the color stays near: that is what low contrast means.
    """
    if apart < 0.15:
        shift = rng.uniform(-1, 1, 3) * 0.4 + rng.choice([-1, 1])
        near = other + shift * apart / np.abs(shift).max() * rng.uniform(1, 1.8)
        return np.clip(np.where((near < 0) | (near > 1), 2 * other - near, near), 0, 1).astype(np.float32)
    candidates = [color(rng) for _ in range(8)]
    for candidate in candidates:
        if np.abs(candidate - other).max() >= apart:
            return candidate
    return max(candidates, key=lambda c: float(np.abs(c - other).max()))
