"""A picture of what was found: the image, smaller if it is large, with its masks tinted and outlined."""

import colorsys
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.errors import OutputError
from sam_backend.labelstudio.bitmaps import bitmap
from sam_backend.sam.types import Image

LONGEST = 1600
_TINT = 0.45
_GOLDEN = 0.61803398875
_QUALITY = 90

Picture = NDArray[np.uint8]


def write(folder: Path, key: str, number: int, image: Image, regions: Iterable[Mapping[str, Any]]) -> Path:
    """Write a task's image with its regions.

    Args:
        folder: where; it is made if it is not there.
        key: the item's; the file's name begins with its last part, and is different for each key.
        number: which of the task's images, from 0.
        image: the upright image.
        regions: the results of a prediction that are on it.

    Returns:
        The file's path.

    Raises:
        OutputError: it cannot be written.
    """
    path = folder / name(key, number)
    _, encoded = cv2.imencode(".jpg", draw(image, regions)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.", "Give another --preview.") from None
    return path


def name(key: str, number: int = 0) -> str:
    """The file's name."""
    stem = re.sub(r"[^\w.-]+", "_", Path(key.partition("?")[0]).stem)[-80:]
    digest = hashlib.sha256(key.encode()).hexdigest()[:8]
    return f"{stem}-{digest}{f'-{number + 1}' if number else ''}.jpg"


def draw(image: Image, regions: Iterable[Mapping[str, Any]]) -> Picture:
    """The picture, uint8 (h, w, 3) RGB, at most `LONGEST` pixels long; large masks lie under small ones."""
    picture = _smaller(image.rgb, cv2.INTER_AREA)
    once = {region["id"]: region for region in regions}.values()  # with a <Labels>, a region is two results
    masks = [_smaller(bitmap(region, image.original_size).view(np.uint8), cv2.INTER_NEAREST) for region in once]
    order = sorted(range(len(masks)), key=lambda index: -int(masks[index].sum()))
    for place, index in enumerate(order):
        inside, color = masks[index] > 0, _color(place)
        picture[inside] = ((1 - _TINT) * picture[inside] + _TINT * color).astype(np.uint8)
    for place, index in enumerate(order):
        outline, _ = cv2.findContours(masks[index], cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outline, -1, _color(place).tolist(), max(1, max(picture.shape) // 600))
    return picture


def _color(place: int) -> NDArray[np.float64]:
    """Colors whose neighbors are far apart."""
    hue, strong = place * _GOLDEN % 1, place % 3
    return 255 * np.array(colorsys.hsv_to_rgb(hue, 1 - 0.2 * strong, 1 - 0.15 * strong))


def _smaller(picture: Picture, filtering: int) -> Picture:
    """A copy, smaller if it is longer than `LONGEST`."""
    height, width = picture.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    size = max(1, int(width * scale)), max(1, int(height * scale))
    return cv2.resize(picture, size, interpolation=filtering).astype(np.uint8) if scale < 1 else picture.copy()
