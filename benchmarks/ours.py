"""Our side, for a process of its own: each function makes the job of a `Side`."""

import time
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
    from sam_backend.sam.encoder import encode
    from sam_backend.sam.types import Image
    from sam_backend.segmenter import Segmenter

    model = Segmenter(settings(folder, precision)).load()
    return Job(lambda rgb: encode(model, Image(rgb, "it"), "bench"), _embeddings)


def _embeddings(embedding: Any) -> Floats:
    return np.array(embedding.features["image_embeddings"], np.float32)


def decoder(folder: Path, precision: str, rgb: Rgb, batch: int) -> Job:
    """Run: points, float64 (B, 2), in original pixels → logits (B, 4, h, w), thinned out, one prompt a point.

    One point goes the way of a click, more go that of automatic mode. No points: the embedding.
    """
    from sam_backend.sam.decoder import decode, decode_points
    from sam_backend.sam.encoder import encode
    from sam_backend.sam.types import Image, Prompt
    from sam_backend.segmenter import Segmenter

    model = Segmenter(settings(folder, precision)).load()
    embedding = encode(model, Image(rgb, "it"), "bench")
    model.rest_encoder()
    request = model.bulk_request()

    def run(points: NDArray[np.float64]) -> list[Floats]:
        if not len(points):
            return [_embeddings(embedding)]
        if len(points) == 1:
            return [decode(model, embedding, Prompt(points=points, point_labels=np.ones(1, np.int64))).logits[None]]
        found = []
        for first in range(0, len(points), batch):
            logits, _ = decode_points(model, request, embedding, points[first : first + batch])
            found.append(logits[:, :, ::THIN, ::THIN].copy())  # a view that the next batch overwrites
        return found

    return Job(run, _thinned)


def _thinned(found: list[Floats]) -> Floats:
    together = np.concatenate(found)
    return together[:, :, ::THIN, ::THIN] if together.shape[-1] >= 256 else together


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
