"""Many points of one image, each for itself: what the model says of all, the masks only of those that are asked for.

The decoder comes in two pieces here. The first answers with predicted IoUs; the second, which draws the masks, is half
of the work, and is spared wherever no mask is worth it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_backend.sam import geometry
from sam_backend.sam.model import CompiledSam, infer
from sam_backend.sam.types import Embedding

Floats = NDArray[np.float32]


AT_ONCE = 4
"""Points that are drawn in one inference: more take more memory and save nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a batch of B points was answered.

    Attributes:
        iou_predictions: float32 (B, 3), of masks 1 to 3.
        draw: given which points are wanted, bool (B,), it yields each one's index and logits, float32 (3, h, w), in
            order. The logits are memory that the next step overwrites. To be used before the next batch is decoded.
    """

    iou_predictions: Floats
    draw: Callable[[NDArray[np.bool_]], Iterator[tuple[int, Floats]]]


Decode = Callable[[NDArray[np.float64]], Answers]
"""Points (B, 2), (x, y) in a view's pixels, all foreground → their answers."""


def decoding(model: CompiledSam, embedding: Embedding) -> Decode:
    """A way to decode an image's points, with requests and memory of its own.

    Raises:
        ModelError: OpenVINO refused to compile.
    """
    points_request, upscaling_request = model.points_requests()

    def decode(points: NDArray[np.float64]) -> Answers:
        coords = geometry.to_input(points, embedding.original_size, embedding.input_size)
        features = embedding.features["image_embeddings"]
        infer(points_request, {"image_embeddings": features, "point_coords": coords})
        image, weights = (points_request.get_tensor(name).data for name in ("image_tokens", "mask_weights"))

        def draw(wanted: NDArray[np.bool_]) -> Iterator[tuple[int, Floats]]:
            for some in _stretches(wanted):
                infer(upscaling_request, {"image_tokens": image[some], "mask_weights": weights[some]})
                logits = upscaling_request.get_tensor("low_res_masks").data
                yield from zip(range(some.start, some.stop), logits, strict=True)

        return Answers(points_request.get_tensor("iou_predictions").data.copy(), draw)

    return decode


def _stretches(wanted: NDArray[np.bool_]) -> Iterator[slice]:
    """Neighbors that are wanted, `AT_ONCE` at most: what lies together in memory needs no copy."""
    indices = np.flatnonzero(wanted)
    breaks = np.flatnonzero(np.diff(indices) > 1) + 1
    for stretch in np.split(indices, breaks):
        for begin in range(0, len(stretch), AT_ONCE):
            part = stretch[begin : begin + AT_ONCE].tolist()
            yield slice(part[0], part[-1] + 1)
