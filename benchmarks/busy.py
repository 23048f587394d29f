"""A busy task: a click's request that carries a hundred brush regions, as large and as rough as SAM's masks are."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.labelstudio import rle

Size = tuple[int, int]
REGIONS = 100
FREE = 0.5
"""Share of the picture's width, from the left, on which no region of the clicks' label lies."""


def regions(size: Size, count: int = REGIONS) -> list[dict[str, Any]]:
    """Regions of the recorded label config, in percent and streams as Label Studio keeps them.

    Every other one has the label that clicks have, and lies on the right; the others lie anywhere.
    """
    random = np.random.default_rng(0)
    return [_region(number, "Airplane" if number % 2 else "Car", size, random) for number in range(count)]


def free_places(size: Size, count: int) -> list[tuple[int, int]]:
    """Pixels (x, y) that are on no region of the clicks' label, nor near one."""
    height, width = size
    places = np.random.default_rng(1).integers((0, 0), (int((FREE - 0.1) * width), height), (count, 2))
    return [(int(x), int(y)) for x, y in places]


def _region(number: int, label: str, size: Size, random: np.random.Generator) -> dict[str, Any]:
    mask = _blob(size, random)
    if label == "Airplane":
        mask[:, : int(FREE * size[1])] = False
    return {
        "id": f"busy-{number}",
        "type": "brushlabels",
        "from_name": "brush",
        "to_name": "image",
        "original_width": size[1],
        "original_height": size[0],
        "image_rotation": 0,
        "origin": "manual",
        "value": {"format": "rle", "rle": rle.encode(mask), "brushlabels": [label]},
    }


def _blob(size: Size, random: np.random.Generator) -> NDArray[np.bool_]:
    """A mask with a rough outline and holes; its stream has some 5 to 20 kB."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    center, radius = random.uniform(0.6, 0.9) * width, random.uniform(0.2, 0.35) * height
    distance = np.hypot(x - center, y - random.uniform(0.3, 0.7) * height) / radius
    noise = random.normal(0, 0.35, (56, 56)).astype(np.float32)
    return np.asarray(distance + cv2.resize(noise, (width, height)) < 1)
