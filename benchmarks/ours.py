"""Our side, for a process of its own: each function makes the job of a `Side`."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.sides import Job

Rgb = NDArray[np.uint8]
Floats = NDArray[np.float32]
THIN = 8


def settings(folder: Path, precision: str, **more: Any) -> Any:
    """Settings that serve the model folder in this precision."""
    from sam_backend.settings import Settings

    given = {"SAM_MODEL": folder.name, "SAM_MODEL_DIR": folder.parent, "SAM_PRECISION": precision}
    return Settings.model_validate(given | more)


def encoder(folder: Path, precision: str) -> Job:
    """Run: picture, uint8 (H, W, 3) → embedding, float32 (1, C, h, w)."""
    return Job(_encode(folder, precision), lambda embedding: np.array(embedding.features["image_embeddings"]))


def embedder(folder: Path, precision: str) -> Job:
    """Run: picture, uint8 (H, W, 3) → `Embedding`."""
    return Job(_encode(folder, precision), lambda embedding: embedding)


def _encode(folder: Path, precision: str) -> Callable[[Rgb], Any]:
    from sam_backend.sam.encoder import encode
    from sam_backend.sam.turns import Request
    from sam_backend.sam.types import Image
    from sam_backend.served_model import ServedModel

    model = ServedModel(settings(folder, precision)).load()
    return lambda rgb: encode(model, Image(rgb, "it"), "bench", Request(model.encoder_request()))


def decoder(folder: Path, precision: str, embedding: Any, batch: int) -> Job:
    """Run: points, float64 (B, 2), in original pixels → logits (B, M, h, w), thinned out, one prompt a point.

    One point goes the way of a click on an image that was clicked before, and gives all four masks; more go that of
    automatic mode, which has no use for mask 0: the other three of every point are drawn.
    """
    from sam_backend.sam.decoder import decode
    from sam_backend.sam.image_side import prepare
    from sam_backend.sam.points import decoding
    from sam_backend.sam.types import Prompt
    from sam_backend.served_model import ServedModel

    model = ServedModel(settings(folder, precision)).load()
    ask, side = decoding(model, embedding), prepare(model, embedding)

    def run(points: NDArray[np.float64]) -> list[Floats]:
        if len(points) == 1:
            answer = decode(model, embedding, Prompt(points=points, point_labels=np.ones(1, np.int64)), side)
            return [answer.logits[:, ::THIN, ::THIN]]
        found = []
        for first in range(0, len(points), batch):
            some = points[first : first + batch]
            # Copied: memory that the next step overwrites.
            found += [logits[:, ::THIN, ::THIN].copy() for _, logits in ask(some).draw(np.ones(len(some), np.bool_))]
        return found

    return Job(run, np.stack)


def rle(masks: list[NDArray[np.bool_]]) -> Job:
    """Run: number of a mask → its stream."""
    from sam_backend.labelstudio.rle import encode

    return Job(lambda number: encode(masks[number]), bytes)


def generator(folder: Path, precision: str) -> Job:
    """Run: picture, parameters → masks, bool (H, W) each."""
    from sam_backend.sam.types import Image
    from sam_backend.segmenter import Segmenter

    segmenter = Segmenter(settings(folder, precision))
    segmenter.load()

    def run(rgb: Rgb, parameters: Any) -> Any:
        # A name of its own each time, so that each run encodes: the peer does too.
        return segmenter.everything(Image(rgb, f"{time.perf_counter_ns()}"), parameters)

    return Job(run, lambda found: [mask.patch.bitmap for mask in found.masks])
