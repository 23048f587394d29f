"""Which part of a large image is shown to the model, so that something small is not lost in it.

A model sees its input only: of an image of 4000 pixels, resized to 1024, an object of 40 has 10. A box says how large
its object is. A click does not, and its mask in the whole image does not either, where the object has all but vanished:
so a click is decoded in a window at full resolution as well, and what is found there is believed when it is small,
whole, and the model not far less sure of it. The view is a function of the image and the ordered prompts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_backend.sam import chain, geometry, views
from sam_backend.sam.types import Image, Prompt
from sam_backend.sam.views import Finding, View

LEAST_GAIN = 2
"""Images whose longest side is less than this many times the model's input are shown whole."""

LARGE = 2048
"""So are images whose longest side is less than this, in pixels: a click there costs no second encoding."""

SURE_ENOUGH = 0.5
"""What is found in a window is believed when its score is at least this share of the whole image's answer's."""

Find = Callable[[View, Prompt], Finding]


@dataclass(frozen=True, slots=True)
class Magnifier:
    """Chooses views.

    Attributes:
        image_size: side of the model's input, in pixels; no crop is smaller, unless the image is.
        below: the share of the image's longest side under which an object is small; 0 when none is.
        large: the longest side from which on an image is large, in pixels.
    """

    image_size: int
    below: float
    large: int = LARGE

    def choose(self, image: Image, prompt: Prompt, find: Find) -> View:
        """The view in which to decode a prompt.

        Args:
            image: the whole image.
            prompt: in original pixels; there is a box or a positive point.
            find: decodes a prompt (in original pixels) in a view and describes the mask.

        Raises:
            PromptError, ModelError: as `find`.
        """
        if not self._helps(image) or prompt.mask_input is not None:
            return views.whole(image)
        has_box = len(prompt.boxes) > 0
        view = self.frame(image, prompt.boxes[0], prompt.points) if has_box else self._clicked(image, prompt, find)
        if view.image is image:
            return view
        found = find(view, prompt)
        if not found.is_broken:
            return view
        wider = self.frame(image, found.extent, prompt.points)
        return views.whole(image) if find(wider, prompt).is_broken else wider

    def frame(self, image: Image, extent: NDArray[np.float64], points: NDArray[np.float64]) -> View:
        """The view for an object of which the extent (4,), XYXY, is known, and which must show all points (N, 2)."""
        corners = extent.reshape(2, 2)
        for known in (corners, np.concatenate([corners, points])):
            if self._helps(image) and self._is_small(image, known):
                middle, side = geometry.crop_around(known, self.image_size)
                view = views.crop(image, geometry.window(middle, side, image.original_size))
                if view.holds(points):
                    return view
        return views.whole(image)

    def _clicked(self, image: Image, prompt: Prompt, find: Find) -> View:
        """By what the first positive click is on, in the whole image and in a window around the click."""
        first = chain.steps(prompt)[0]
        seen = find(views.whole(image), first)
        window = views.crop(image, geometry.window(first.points[-1], self.image_size, image.original_size))
        if window.holds(first.points):
            closer = find(window, first)
            if self._believes(image, closer, seen):
                if window.holds(prompt.points):
                    return window
                seen = closer
        return self.frame(image, seen.extent, prompt.points)

    def _believes(self, image: Image, closer: Finding, seen: Finding) -> bool:
        """Whether a window shows the object, and not a part of what the whole image shows at the click."""
        small = self._is_small(image, closer.extent.reshape(2, 2))
        return small and not closer.is_broken and closer.score >= SURE_ENOUGH * seen.score

    def _helps(self, image: Image) -> bool:
        return self.below > 0 and max(image.original_size) >= max(LEAST_GAIN * self.image_size, self.large)

    def _is_small(self, image: Image, corners: NDArray[np.float64]) -> bool:
        """Never true where a corner (N, 2) is no finite number."""
        return bool(np.ptp(corners, axis=0).max() < self.below * max(image.original_size))
