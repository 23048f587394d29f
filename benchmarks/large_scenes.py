"""Large drawn pictures with small things in them, and the exact mask of everything.

A held-out scene, enlarged, is the ground with its large objects; small ones are painted onto it, each wholly on the
ground or wholly on one object; then all of it is exposed once more, as one picture.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model_export.builtin.scenes import HELD_OUT_SEED, camera, draw_scene, shapes, textures
from model_export.builtin.scenes.painting import Canvas, Surface, paint
from model_export.builtin.scenes.textures import Array, Rng

LONGEST = 4000
MOST_TRIES = 200


@dataclass(frozen=True)
class LargeScene:
    """A picture and its objects.

    `rgb` is uint8 (H, W, 3). `labels` is uint8 (H, W): 0 where nothing is, and on each object its own number; `large`
    are the numbers of the ground's objects, `small` those of what was painted onto it.
    """

    rgb: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    large: tuple[int, ...]
    small: tuple[int, ...]

    def mask(self, label: int) -> NDArray[np.bool_]:
        """The visible part of an object, bool (H, W)."""
        return self.labels == label


def seeds() -> Iterator[int]:
    """Held-out seeds whose scenes have the proportions 4:3 or 3:4."""
    for seed in itertools.count(HELD_OUT_SEED):
        if draw_scene(seed, 128).rgb.shape[:2] in {(96, 128), (128, 96)}:
            yield seed


def draw_large_scene(seed: int, count: int, smallest: float, largest: float) -> LargeScene:
    """The large scene of a seed, 4000 pixels long.

    Args:
        seed: one of `seeds()`.
        count: how many small objects.
        smallest: of their longest sides, in pixels.
        largest: of their longest sides; between the two, no order of magnitude is more frequent than another.
    """
    rng = np.random.default_rng([seed, count])
    ground = draw_scene(seed, LONGEST // 2)
    size = (2 * ground.rgb.shape[1], 2 * ground.rgb.shape[0])
    rgb = cv2.resize(ground.rgb, size, interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    labels = cv2.resize(ground.labels, size, interpolation=cv2.INTER_NEAREST)
    canvas = Canvas(rgb, np.asarray(labels, np.uint8), rng.uniform(0, 2 * np.pi))
    first = len(ground.names) + 1
    for label in range(first, first + count):
        _add(rng, canvas, float(np.exp(rng.uniform(np.log(smallest), np.log(largest)))), label)
    gray = bool((ground.rgb[..., 0] == ground.rgb[..., 1]).all())
    small = tuple(label for label in range(first, first + count) if (canvas.labels == label).any())
    return LargeScene(
        camera.expose(rng, canvas.rgb, gray=gray, rough=0.7), canvas.labels, tuple(range(1, first)), small
    )


def _add(rng: Rng, canvas: Canvas, length: float, label: int) -> None:
    """Paint one small object where there is room for it; nothing, should there be none."""
    outline = shapes.KINDS[shapes.random_kind(rng)][0](rng)
    placed = shapes.fit(outline, 1.0, (0, 0), rng.uniform(0, 2 * np.pi))
    scale = length / np.ptp(np.concatenate(placed), axis=0).max()
    reach = int(length)
    height, width = canvas.labels.shape
    for _ in range(MOST_TRIES):
        x, y = int(rng.integers(reach, width - reach)), int(rng.integers(reach, height - reach))
        around = slice(y - reach, y + reach), slice(x - reach, x + reach)
        if np.ptp(canvas.labels[around]) == 0:
            surface = _surface(rng, canvas.rgb[around].mean((0, 1)))
            paint(rng, canvas, [contour * scale + (x, y) for contour in placed], surface, label)
            return


def _surface(rng: Rng, ground: Array) -> Surface:
    color = textures.color_apart(rng, ground, float(rng.choice([0.15, 0.2, 0.3])))
    return Surface(
        color=color,
        second=textures.color_apart(rng, color, 0.1 if rng.random() < 0.6 else 0.25),
        pattern=rng.uniform(0.2, 0.9) if rng.random() < 0.5 else 0.0,
        light=rng.uniform(0.03, 0.18) if rng.random() < 0.5 else 0.0,
        bulge=rng.uniform(0.06, 0.25) if rng.random() < 0.4 else 0.0,
        rim=rng.uniform(-0.3, 0.3) if rng.random() < 0.25 else 0.0,
        shadow=rng.uniform(0.2, 0.6) if rng.random() < 0.4 else 0.0,
        softness=rng.uniform(0.4, 1.2),
    )
