"""Pictures of prompts and masks, for the docs."""

import colorsys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.prompting import Bitmap, Click

Rgb = NDArray[np.uint8]
Box = tuple[int, int, int, int]
MASK = (255, 40, 120)
POSITIVE, NEGATIVE = (40, 220, 60), (255, 60, 40)


def shown(image: Rgb, masks: list[Bitmap], clicks: list[Click], box: Box | None) -> Rgb:
    """The picture under its masks, their outlines and the prompts."""
    out = image.astype(np.float32)
    for mask in masks:
        out[mask] = 0.55 * out[mask] + 0.45 * np.array(MASK, np.float32)
    drawn = out.astype(np.uint8)
    for mask in masks:
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, outlines, -1, MASK, 1, cv2.LINE_AA)
    radius = max(round(max(image.shape[:2]) / 130), 2)
    for (x, y), label in clicks:
        cv2.circle(drawn, (int(x), int(y)), radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(drawn, (int(x), int(y)), radius, POSITIVE if label else NEGATIVE, -1, cv2.LINE_AA)
    if box:
        cv2.rectangle(drawn, box[:2], box[2:], POSITIVE, 2, cv2.LINE_AA)
    return drawn


def tinted(image: Rgb, masks: list[Bitmap]) -> Rgb:
    """The picture under its masks, each in a color of its own, small ones above large ones."""
    out = image.copy()
    order = sorted(masks, key=lambda mask: -np.count_nonzero(mask))
    colors = [_color(place) for place in range(len(order))]
    for mask, color in zip(order, colors, strict=True):
        out[mask] = (0.5 * out[mask] + 0.5 * color).astype(np.uint8)
    for mask, color in zip(order, colors, strict=True):
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, outlines, -1, color.tolist(), 2, cv2.LINE_AA)
    return out


def _color(place: int) -> NDArray[np.float64]:
    """Colors whose neighbors are far apart."""
    return 255 * np.array(colorsys.hsv_to_rgb(place * 0.618 % 1, 0.9, 1.0))


def sheet(pictures: list[Rgb], columns: int = 4, side: int = 320) -> Rgb:
    """All in rows, each within a square."""
    tiles = []
    for picture in pictures:
        scale = side / max(picture.shape[:2])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tile = np.full((side + 8, side + 8, 3), 255, np.uint8)
        top, left = (side + 8 - small.shape[0]) // 2, (side + 8 - small.shape[1]) // 2
        tile[top : top + small.shape[0], left : left + small.shape[1]] = small
        tiles.append(tile)
    return np.concatenate([np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)])


def save(path: Path, rgb: Rgb) -> None:
    how = [cv2.IMWRITE_PNG_COMPRESSION, 9] if path.suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 85]
    cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1]), how)
