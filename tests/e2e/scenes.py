"""A scene of one thing with parts, which a single click may mean or not."""

import numpy as np

from examples.demo.drawing import Bitmap, Drawing, Floats, Thing, draw, wood
from examples.demo.scenes import leaf, stone


def _stem(center: tuple[float, float], size: float) -> Floats:
    """A rounded post."""
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    across, along = np.cos(angle), np.sin(angle)
    outline = np.stack([0.33 * np.sign(across) * abs(across) ** 0.5, 0.65 * np.sign(along) * abs(along) ** 0.5], 1)
    return np.asarray(size * outline + np.asarray(center) + (0, 0.55 * size), np.float32)


def _cap(center: tuple[float, float], size: float) -> Floats:
    """Half an ellipse with a curved rim."""
    angle, rim = np.linspace(0, np.pi, 120), np.linspace(-1, 1, 60)
    dome = np.stack([np.cos(angle), -0.75 * np.sin(angle)], 1)
    edge = np.stack([rim, 0.18 * np.sin((rim + 1) / 2 * np.pi)], 1)
    return np.asarray(size * np.concatenate([dome, edge]) + np.asarray(center), np.float32)


def mushroom() -> Drawing:
    """A red mushroom with a white stem, a leaf and a stone beside it, 1200×800."""
    center, size = (600.0, 340.0), 256.0
    things = (
        leaf((220, 640), 150, -20, (50, 110, 48), (84, 146, 60)),
        stone((980, 620), 90, 3, (120, 122, 126), (164, 160, 150)),
        Thing("Mushroom", _stem(center, size), (226, 214, 186), (240, 232, 214), gloss=0.05),
        Thing("Mushroom", _cap(center, size), (190, 40, 30), (220, 80, 40), gloss=0.3),
    )
    return draw(wood, (800, 1200), things, seed=5)


def parts(drawing: Drawing) -> tuple[Bitmap, Bitmap, Bitmap]:
    """The mushroom's stem, its cap, and the whole."""
    _leaf, _stone, stem, cap = drawing.visible
    return stem, cap, stem | cap
