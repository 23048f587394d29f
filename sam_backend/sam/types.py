"""The values that travel between the stages.

Each is frozen and holds all that the next stage needs, so no stage keeps a "current image". Sizes are (H, W), as in
segment-anything; coordinates are (x, y). *Original* pixels are those of the upright image, *input* pixels those of the
image after its longest side was resized to the model's `image_size`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sam_backend.sam.patch import Patch, Size

__all__ = ["Embedding", "Image", "Mask", "Patch", "Prompt", "Size"]


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """An upright picture.

    Attributes:
        rgb: uint8 (H, W, 3), RGB, with the EXIF orientation applied.
        digest: hexadecimal digest of the pixels and their shape; equal digests mean equal pixels.
    """

    rgb: NDArray[np.uint8]
    digest: str

    @property
    def original_size(self) -> Size:
        """(H, W) in original pixels."""
        height, width = self.rgb.shape[:2]
        return height, width


def _no_points() -> NDArray[np.float64]:
    return np.zeros((0, 2), np.float64)


def _no_labels() -> NDArray[np.int64]:
    return np.zeros((0,), np.int64)


def _no_boxes() -> NDArray[np.float64]:
    return np.zeros((0, 4), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """What the annotator asked for.

    Attributes:
        points: float64 (N, 2), (x, y) in original pixels.
        point_labels: int64 (N,), 1 foreground, 0 background.
        boxes: float64 (M, 4), XYXY in original pixels; the decoder takes at most one.
        mask_input: float32 (1, h, w) low-resolution logits of an earlier answer, or None.
        label: the label that the annotator chose, or None.
        region_id: the id of the newest region that asked, or None.
    """

    points: NDArray[np.float64] = field(default_factory=_no_points)
    point_labels: NDArray[np.int64] = field(default_factory=_no_labels)
    boxes: NDArray[np.float64] = field(default_factory=_no_boxes)
    mask_input: NDArray[np.float32] | None = None
    label: str | None = None
    region_id: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """An encoded image: all that the decoder needs to know about it.

    Attributes:
        features: named float32 tensors; SAM has one, `image_embeddings` (1, C, H, W).
        original_size: (H, W) in original pixels.
        input_size: (H, W) in input pixels, padding excluded.
        model_id: the model version that made it.
    """

    features: Mapping[str, NDArray[np.float32]]
    original_size: Size
    input_size: Size
    model_id: str

    @property
    def nbytes(self) -> int:
        """Bytes that the features occupy."""
        return sum(tensor.nbytes for tensor in self.features.values())


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """One answer.

    Attributes:
        patch: its pixels, at the original size.
        score: the IoU that the model predicts for this mask, usually in [0, 1].
        stability: the IoU of the mask cut one logit above and one below the threshold, in [0, 1].
        low_res_logits: float32 (h, w), the decoder's own output, for the next click's `mask_input`.
    """

    patch: Patch
    score: float
    stability: float
    low_res_logits: NDArray[np.float32]

    @property
    def bitmap(self) -> NDArray[np.bool_]:
        """The pixels as bool (H, W), made anew."""
        return self.patch.bitmap
