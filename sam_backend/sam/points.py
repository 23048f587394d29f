"""Many points of one image, each for itself: what the model says of all, the masks only of those that are asked for.

Of the decoder's parts, the one that draws masks is half of the work. It is spared wherever no mask is worth it, and
done for a part of the image where only some cells of the masks matter.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_backend.sam import geometry
from sam_backend.sam.decoder import PADDING_LABEL
from sam_backend.sam.image_side import prepare
from sam_backend.sam.model import CompiledSam, infer
from sam_backend.sam.types import Embedding

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

AT_ONCE = 4
"""Points that are drawn in one inference: more take more memory and save nothing."""

TOKEN = 4
"""Cells of the masks along each side of what one of the image's tokens shows."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a batch of B points was answered. To be used before the next batch is decoded.

    Attributes:
        iou_predictions: float32 (B, 3), of masks 1 to 3.
        draw: given which points are wanted, bool (B,), it yields each one's index and logits, float32 (3, h, w), in
            order. The logits are memory that the next step overwrites.
        sample: given which points are wanted, and rows and columns (N,) of cells, it yields each one's index and its
            logits in these cells, float32 (3, N), in order.
    """

    iou_predictions: Floats
    draw: Callable[[Bools], Iterator[tuple[int, Floats]]]
    sample: Callable[[Bools, Indices, Indices], Iterator[tuple[int, Floats]]]


Decode = Callable[[NDArray[np.float64]], Answers]
"""Points (B, 2), (x, y) in a view's pixels, all foreground → their answers."""


def decoding(model: CompiledSam, embedding: Embedding) -> Decode:
    """A way to decode an image's points, with requests and memory of its own.

    Raises:
        ModelError: OpenVINO failed.
    """
    prompts_request, upscaling_request = model.points_requests()
    side = prepare(model, embedding).tensors

    def decode(points: NDArray[np.float64]) -> Answers:
        coords = geometry.to_input(points, embedding.original_size, embedding.input_size)
        padded = np.stack([coords, np.zeros_like(coords)], axis=1)
        labels = np.tile(np.array([1, PADDING_LABEL], np.float32), (len(points), 1))
        infer(prompts_request, {**side, "point_coords": padded, "point_labels": labels})
        tokens, weights, ious = (
            prompts_request.get_tensor(name).data for name in ("prompted_tokens", "mask_weights", "iou_predictions")
        )
        weights = weights[:, 1:].copy()  # mask 0 is for prompts of several points

        def upscaled(image: Floats, some: slice) -> Floats:
            infer(upscaling_request, {"prompted_tokens": image, "mask_weights": weights[some]})
            logits: Floats = upscaling_request.get_tensor("low_res_masks").data
            return logits

        def draw(wanted: Bools) -> Iterator[tuple[int, Floats]]:
            for some in _stretches(wanted):
                yield from zip(range(some.start, some.stop), upscaled(tokens[some], some), strict=True)

        def sample(wanted: Bools, rows: Indices, columns: Indices) -> Iterator[tuple[int, Floats]]:
            tall, row = np.unique(rows // TOKEN, return_inverse=True)
            wide, column = np.unique(columns // TOKEN, return_inverse=True)
            where = ..., TOKEN * row + rows % TOKEN, TOKEN * column + columns % TOKEN
            for some in _stretches(wanted):
                logits = upscaled(tokens[some][:, tall[:, None], wide], some)
                yield from zip(range(some.start, some.stop), logits[where], strict=True)

        return Answers(ious[:, 1:].copy(), draw, sample)

    return decode


def _stretches(wanted: Bools) -> Iterator[slice]:
    """Neighbors that are wanted, `AT_ONCE` at most: what lies together in memory needs no copy."""
    indices = np.flatnonzero(wanted)
    breaks = np.flatnonzero(np.diff(indices) > 1) + 1
    for stretch in np.split(indices, breaks):
        for begin in range(0, len(stretch), AT_ONCE):
            part = stretch[begin : begin + AT_ONCE].tolist()
            yield slice(part[0], part[-1] + 1)
