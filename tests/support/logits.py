"""Logits as a decoder gives them, drawn by hand: what comes after the decoder can be told what it has to say."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.sam import geometry
from sam_backend.sam.folder import ModelInfo
from sam_backend.sam.geometry import Rectangle
from sam_backend.sam.proposals import Scene
from sam_backend.sam.types import Embedding, Image, Size
from sam_backend.sam.views import View, crop, whole

GRID, IMAGE_SIZE = 64, 256
SHARP = 8.0
"""Logits on both sides of a drawn edge: far from 0, with no doubt about stability but at the edge itself."""

INFO = ModelInfo(
    format=1,
    model_id="drawn",
    architecture="drawn",
    checkpoint_sha256="0" * 64,
    image_size=IMAGE_SIZE,
    embedding_shape=(1, 1, GRID // 4, GRID // 4),
    mask_threshold=0.0,
    precision="f32",
    export_id="drawn",
    folder=Path("drawn"),
)

Floats = NDArray[np.float32]


def image(size: Size, name: str = "drawn") -> Image:
    """A black picture (H, W)."""
    return Image(np.zeros((*size, 3), np.uint8), name)


def scene(size: Size, rectangle: Rectangle | None = None, **parameters: Any) -> Scene:
    """The whole of a picture (H, W), or a crop of it."""
    picture = image(size)
    return of_view(crop(picture, rectangle) if rectangle else whole(picture), AutomaticSettings(**parameters))


def of_view(view: View, parameters: AutomaticSettings) -> Scene:
    """A view, as if it was encoded."""
    shape = view.image.original_size
    embedding = Embedding({}, shape, geometry.input_size(shape, IMAGE_SIZE), "drawn")
    return Scene(INFO, view, embedding, parameters)


def box(size: Size, left: float, top: float, right: float, bottom: float, height: float = SHARP) -> Floats:
    """Logits (GRID, GRID) of a rectangle whose edges are given in pixels of a picture (H, W); others may be beyond."""
    cell = max(size) / GRID
    middles = (np.arange(GRID) + 0.5) * cell
    inside = np.outer((middles > top) & (middles < bottom), (middles > left) & (middles < right))
    return np.where(inside, height, -height).astype(np.float32)


def waves(seed: int) -> Floats:
    """Logits (GRID, GRID) of soft blobs."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:GRID, :GRID] / GRID
    total = np.full((GRID, GRID), random.uniform(-2, 2))
    for _ in range(6):
        across, down, phase = random.uniform(-12, 12, 3)
        total += random.uniform(1, 6) * np.sin(across * x + down * y + phase)
    return total.astype(np.float32)
