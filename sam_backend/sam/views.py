"""Views: the whole image, or a crop of it, and what the masks that are decoded in one say of the object."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sam_backend.sam import geometry, masks
from sam_backend.sam.decoder import LowResMasks
from sam_backend.sam.folder import ModelInfo
from sam_backend.sam.geometry import Rectangle
from sam_backend.sam.types import Embedding, Image, Mask, Prompt, Size


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What the encoder is shown, and where it lies.

    Attributes:
        image: the whole image, or the crop as an image of its own.
        rectangle: (left, top, right, bottom) of the crop in original pixels; right and bottom are behind the last.
        original_size: (H, W) of the whole image.
    """

    image: Image
    rectangle: Rectangle
    original_size: Size

    def into(self, prompt: Prompt) -> Prompt:
        """The prompt in the view's own pixels; its `mask_input` is one of this view already."""
        left, top = self.rectangle[:2]
        points, boxes = prompt.points - (left, top), prompt.boxes - (left, top, left, top)
        return replace(prompt, points=points, boxes=boxes)

    def back(self, mask: Mask) -> Mask:
        """The mask at the whole image's size; its `low_res_logits` stay those of the view."""
        if mask.patch.original_size == self.original_size:
            return mask
        left, top = self.rectangle[:2]
        return replace(mask, patch=mask.patch.moved(left, top, self.original_size))

    def cut(self, bitmap: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What the view shows of a mask of the whole image's size."""
        left, top, right, bottom = self.rectangle
        return bitmap[top:bottom, left:right]

    def holds(self, points: NDArray[np.float64]) -> bool:
        """Whether all points (N, 2), in original pixels, are shown; those beside the image count as on its edge."""
        height, width = self.original_size
        inside = geometry.in_box(np.clip(points, 0, (width, height)), np.array(self.rectangle, np.float64))
        return bool(inside.all())

    def breaks(self, extent: NDArray[np.float64]) -> bool:
        """Whether what has this extent (4,), XYXY in original pixels, reaches an edge with more image behind it."""
        left, top, right, bottom = self.rectangle
        height, width = self.original_size
        return bool(
            (left > 0 and extent[0] <= left)
            or (top > 0 and extent[1] <= top)
            or (right < width and extent[2] >= right)
            or (bottom < height and extent[3] >= bottom)
        )


def whole(image: Image) -> View:
    """All of the image."""
    height, width = image.original_size
    return View(image, (0, 0, width, height), image.original_size)


def crop(image: Image, rectangle: Rectangle) -> View:
    """A part of the image. Its digest is made of the image's: equal digests still mean equal pixels."""
    left, top, right, bottom = rectangle
    rgb = np.ascontiguousarray(image.rgb[top:bottom, left:right])
    return View(Image(rgb, f"{image.digest}@{left},{top},{right},{bottom}"), rectangle, image.original_size)


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What one mask says of the object, in short.

    Attributes:
        extent: float64 (4,), XYXY of the mask in original pixels; NaN when it is empty.
        score: predicted IoU times stability.
        is_broken: whether the mask reaches an edge of its view with more image behind it.
    """

    extent: NDArray[np.float64]
    score: float
    is_broken: bool


def find(info: ModelInfo, view: View, embedding: Embedding, answer: LowResMasks, index: int) -> Finding:
    """Describe one of the masks that were decoded in a view, from its logits alone."""
    height, width = geometry.low_res_size(info.low_res_size, embedding.input_size, info.image_size)
    shown = answer.logits[index, :height, :width]
    inside = geometry.bounds(shown > info.mask_threshold, embedding.original_size)
    extent = inside + np.tile(view.rectangle[:2], 2)
    stability = masks.stability_score(shown, info.mask_threshold)
    return Finding(extent, float(answer.iou_predictions[index]) * stability, view.breaks(extent))
