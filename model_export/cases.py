"""What `verify` shows to both sides: one picture, and prompts of every kind, in input pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Case:
    """B prompts of one kind.

    Attributes:
        name: what the report calls it.
        points: float32 (B, N, 2), (x, y) in input pixels; N may be 0.
        labels: float32 (B, N), 1 foreground, 0 background.
        boxes: float32 (B, 4), XYXY in input pixels, or None.
        with_mask: also give the first case's answer as `mask_input`.
    """

    name: str
    points: Floats
    labels: Floats
    boxes: Floats | None = None
    with_mask: bool = False


def picture(size: int) -> NDArray[np.uint8]:
    """A landscape picture, uint8 (3/4 size, size, 3): soft colors, hard edges, noise; the rest is padding."""
    generator = np.random.default_rng(0)
    height = size * 3 // 4
    y, x = np.mgrid[0:height, 0:size] / size
    waves = np.stack([np.sin(9 * x + 5 * y), np.cos(7 * y - 3 * x), np.sin(20 * x * y)], axis=-1)
    image = 128 + 60 * waves + generator.normal(0, 12, waves.shape)
    image[(x - 0.3) ** 2 + (y - 0.3) ** 2 < 0.03] = (200, 60, 40)
    image[(abs(x - 0.7) < 0.12) & (abs(y - 0.45) < 0.2)] = (30, 90, 200)
    return image.clip(0, 255).astype(np.uint8)


def prompts(size: int) -> list[Case]:
    """Prompts for `picture(size)`."""
    none = np.zeros((1, 0, 2), np.float32)
    no_labels = np.zeros((1, 0), np.float32)
    box = np.array([[0.57, 0.24, 0.83, 0.66]], np.float32) * size
    one = np.array([[[0.3, 0.3]]], np.float32) * size
    several = np.array([[[0.3, 0.3], [0.41, 0.24], [0.7, 0.45], [0.05, 0.7]]], np.float32) * size
    apart = several[:, :3].reshape(3, 1, 2)
    mixed = np.array([[1, 1, 0, 0]], np.float32)
    positive = np.ones((1, 1), np.float32)
    return [
        Case("one point", one, positive),
        Case("one negative point", one, 0 * positive),
        Case("four points", several, mixed),
        Case("box", none, no_labels, box),
        Case("box and points", several, mixed, box),
        Case("point and mask", one, positive, with_mask=True),
        Case("box and mask", none, no_labels, box, with_mask=True),
        Case("three prompts at once", apart, np.ones((3, 1), np.float32)),
        Case("two boxes at once", none.repeat(2, 0), no_labels.repeat(2, 0), np.concatenate([box, box * 0.8])),
    ]
