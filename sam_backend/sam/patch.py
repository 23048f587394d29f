"""A mask that is kept: its bounding box and one bit a pixel in it, so that a hundred large ones fit into memory."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.sam.geometry import Rectangle
from sam_backend.sam.types import Size


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A mask at the original size.

    Attributes:
        rectangle: (left, top, right, bottom) in original pixels, the smallest that holds the mask; right and bottom are
            behind the last pixel. (0, 0, 0, 0) for an empty mask.
        bits: uint8, the rectangle's pixels in rows, eight to a byte.
        area: how many pixels are inside the mask.
        original_size: (H, W) of the image.
    """

    rectangle: Rectangle
    bits: NDArray[np.uint8]
    area: int
    original_size: Size

    @classmethod
    def of(cls, bitmap: NDArray[np.bool_], left: int = 0, top: int = 0, original_size: Size | None = None) -> Self:
        """Keep a mask, bool (h, w), that lies at (left, top) in an image of `original_size`; None: it is all of it."""
        size = original_size or (bitmap.shape[0], bitmap.shape[1])
        x, y, width, height = cv2.boundingRect(bitmap.view(np.uint8))
        if not width:
            return cls((0, 0, 0, 0), np.zeros(0, np.uint8), 0, size)
        held = bitmap[y : y + height, x : x + width]
        rectangle = (left + x, top + y, left + x + width, top + y + height)
        return cls(rectangle, np.packbits(held), int(np.count_nonzero(held)), size)

    @property
    def shown(self) -> NDArray[np.bool_]:
        """The rectangle's pixels, bool (bottom - top, right - left)."""
        left, top, right, bottom = self.rectangle
        height, width = bottom - top, right - left
        return np.unpackbits(self.bits, count=height * width).view(np.bool_).reshape(height, width)

    @property
    def bitmap(self) -> NDArray[np.bool_]:
        """The whole mask, bool (H, W)."""
        left, top, right, bottom = self.rectangle
        bitmap = np.zeros(self.original_size, np.bool_)
        bitmap[top:bottom, left:right] = self.shown
        return bitmap

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """XYWH as segment-anything gives it: width and height reach from the first to the last pixel's corner."""
        left, top, right, bottom = self.rectangle
        return left, top, max(0, right - left - 1), max(0, bottom - top - 1)
