"""Views: the whole image, or a crop of it around something small.

A model sees its input only: in an image of 4000 pixels, resized to 1024, an object of 40 is 10. So what is small is
segmented in a crop. A box says how large its object is. A click does not, and the mask that it gets in the whole image
does not either, where the object has all but vanished in it: so a click is decoded in a window at full resolution, too,
and what is found there is believed when it is small, whole, and the model is not far less sure of it.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sam_backend.sam import geometry, masks
from sam_backend.sam.decoder import LowResMasks
from sam_backend.sam.folder import ModelInfo
from sam_backend.sam.geometry import Rectangle
from sam_backend.sam.types import Embedding, Image, Mask, Prompt, Size

LEAST_GAIN = 2.0
"""A crop is made where it shows the object so many times larger than the whole image does, or more."""

SURE_ENOUGH = 0.5
"""What is found in a window is believed when its score is at least this share of the whole image's answer's."""


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
        if mask.bitmap.shape == self.original_size:
            return mask
        left, top, right, bottom = self.rectangle
        bitmap = np.zeros(self.original_size, np.bool_)
        bitmap[top:bottom, left:right] = mask.bitmap
        return replace(mask, bitmap=bitmap)

    def cut(self, bitmap: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What the view shows of a mask of the whole image's size."""
        left, top, right, bottom = self.rectangle
        return bitmap[top:bottom, left:right]

    def holds(self, points: NDArray[np.float64]) -> bool:
        """Whether all points (N, 2), in original pixels, are shown; those beside the image count as on its edge."""
        height, width = self.original_size
        inside = geometry.in_box(np.clip(points, 0, (width, height)), np.array(self.rectangle, np.float64))
        return bool(inside.all())


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
        is_cut: whether the mask reaches an edge of the view behind which the image goes on.
    """

    extent: NDArray[np.float64]
    score: float
    is_cut: bool


def find(info: ModelInfo, view: View, embedding: Embedding, answer: LowResMasks, index: int) -> Finding:
    """Describe one of the masks that were decoded in a view, from its logits alone."""
    logits = answer.logits[index]
    height, width = geometry.low_res_size(info.low_res_size, embedding.input_size, info.image_size)
    shown = logits[:height, :width]
    inside = geometry.low_res_bounds(shown > info.mask_threshold, embedding.original_size)
    extent = inside + np.tile(view.rectangle[:2], 2)
    stability = masks.stability_score(shown, info.mask_threshold)
    return Finding(extent, float(answer.iou_predictions[index]) * stability, _reaches_beyond(view, extent))


def _reaches_beyond(view: View, extent: NDArray[np.float64]) -> bool:
    left, top, right, bottom = view.rectangle
    height, width = view.original_size
    return bool(
        (left > 0 and extent[0] <= left)
        or (top > 0 and extent[1] <= top)
        or (right < width and extent[2] >= right)
        or (bottom < height and extent[3] >= bottom)
    )


@dataclass(frozen=True, slots=True)
class Magnifier:
    """Decides what is segmented from a crop.

    Attributes:
        image_size: side of the model's input, in pixels; no crop is smaller.
        below: the share of the image's longest side under which an object is small; 0 when none is.
    """

    image_size: int
    below: float

    def helps(self, image: Image) -> bool:
        """Whether there can be a crop that shows enough more than the whole image does."""
        return self.below > 0 and max(image.original_size) >= LEAST_GAIN * self.image_size

    def window(self, image: Image, point: NDArray[np.float64]) -> View:
        """The surroundings of a click (2,) at full resolution; neighboring clicks often share one."""
        return crop(image, geometry.window(point, self.image_size, image.original_size))

    def around(self, image: Image, extent: NDArray[np.float64], points: NDArray[np.float64]) -> View:
        """The view for an object of which the extent (4,), XYXY, is known and all points (N, 2) must be shown."""
        for corners in (extent.reshape(2, 2), np.concatenate([extent.reshape(2, 2), points])):
            if self._is_small(image.original_size, corners):
                middle, side = geometry.crop_around(corners, self.image_size)
                view = crop(image, geometry.window(middle, side, image.original_size))
                if view.holds(points):
                    return view
        return whole(image)

    def believes(self, image: Image, closer: Finding, seen: Finding) -> bool:
        """Whether what a window shows at a click is the object, and not a part of what the whole image shows there."""
        small = self._is_small(image.original_size, closer.extent.reshape(2, 2))
        return small and not closer.is_cut and closer.score >= SURE_ENOUGH * seen.score

    def _is_small(self, size: Size, corners: NDArray[np.float64]) -> bool:
        """Never true of corners that are not finite numbers."""
        return bool(np.ptp(corners, axis=0).max() < self.below * max(size))
