"""Drawn pictures of which it is known which pixel belongs to which object."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bitmap = NDArray[np.bool_]
Ellipse = tuple[float, float, float, float]

# (center x, center y, radius x, radius y) in percent; where the recorded prompts point is on them.
STAGE: dict[str, Ellipse] = {
    "left": (35.0, 40.0, 12.0, 16.0),
    "bottom right": (75.0, 72.0, 13.0, 16.0),
    "middle right": (70.0, 45.0, 9.0, 7.0),
    "top right": (75.0, 24.0, 14.0, 9.0),
    "top": (46.0, 12.0, 16.0, 7.0),
    "bottom left": (8.0, 62.0, 5.0, 8.0),
}
CENTER: dict[str, Ellipse] = {"center": (50.0, 50.0, 20.0, 26.0)}
CORNER: dict[str, Ellipse] = {"corner": (27.0, 13.0, 15.0, 8.0)}

_COLORS = [(200, 60, 40), (40, 80, 200), (230, 180, 40), (60, 150, 70), (130, 60, 160), (40, 160, 170)]


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 (H, W, 3), and the bitmap of each object, bool (H, W)."""

    rgb: NDArray[np.uint8]
    objects: dict[str, Bitmap]


def draw(width: int, height: int, ellipses: dict[str, Ellipse], seed: int = 0) -> Scene:
    """Shaded ellipses on a grainy ground."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    rgb = np.array([214.0, 212.0, 204.0]) - 20 * (y / height)[..., np.newaxis]
    objects = {}
    for number, (name, ellipse) in enumerate(ellipses.items()):
        objects[name] = _inside(x, y, ellipse)
        shading = 1 - 0.25 * (y / height - 0.5)
        color = np.array(_COLORS[(number + seed) % len(_COLORS)]) * shading[..., np.newaxis]
        rgb = np.where(objects[name][..., np.newaxis], color, rgb)
    grain = random.normal(0, 4, (height, width, 1))
    return Scene(np.clip(rgb + grain, 0, 255).astype(np.uint8), objects)


def _inside(x: NDArray[np.float64], y: NDArray[np.float64], ellipse: Ellipse) -> Bitmap:
    height, width = x.shape
    center_x, center_y, radius_x, radius_y = ellipse
    across = (x + 0.5 - width * center_x / 100) / (width * radius_x / 100)
    down = (y + 0.5 - height * center_y / 100) / (height * radius_y / 100)
    return across**2 + down**2 <= 1


def png(rgb: NDArray[np.uint8]) -> bytes:
    """The picture as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    return file.getvalue()


# How a camera in each EXIF orientation has the upright picture in its file.
_STORED = {
    1: lambda rgb: rgb,
    2: lambda rgb: rgb[:, ::-1],
    3: lambda rgb: rgb[::-1, ::-1],
    4: lambda rgb: rgb[::-1],
    5: lambda rgb: rgb.transpose(1, 0, 2),
    6: lambda rgb: np.rot90(rgb, 1),
    7: lambda rgb: rgb[::-1, ::-1].transpose(1, 0, 2),
    8: lambda rgb: np.rot90(rgb, -1),
}


def jpeg(rgb: NDArray[np.uint8], orientation: int = 1) -> bytes:
    """A JPEG file that shows `rgb` (upright) to who heeds its EXIF orientation (1 to 8)."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored = np.ascontiguousarray(_STORED[orientation](rgb))
    Image.fromarray(stored).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def iou(one: Bitmap, other: Bitmap) -> float:
    """Intersection over union of two bitmaps of one size; of two empty ones, 1."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0
