"""Brush masks as Label Studio's streams, beside `label_studio_sdk.converter.brush.mask2rle`: byte for byte the same.

    python benchmarks/masks.py --json masks.json

Masks of 4000×3000, and of 1200×800 beside them: an ellipse, and blobs with the wavy and the rough outlines of SAM's.
Each side in a process of its own, in turn.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import ours, peers, report
from benchmarks.rows import EQUAL, Row, compared
from benchmarks.sides import Ran, in_turn, peaks, sides, times

Bitmap = NDArray[np.bool_]
SIZES = {"rle_12mp_vs_sdk": (3000, 4000), "rle_1mp_vs_sdk": (800, 1200)}


def main() -> None:
    given = report.options(__doc__)
    rows = [row for name in SIZES for row in report.attempt([name], lambda name=name: measure(name, short=given.short))]  # type: ignore[misc]
    sys.exit(report.finish("Masks out", rows, given))


def measure(name: str, *, short: bool) -> Iterator[Row]:
    """The row of a size."""
    masks = drawn(SIZES[name])
    rounds = [(number,) for number in range(len(masks))] * (5 if short else 20)
    with sides(("ours", ours.rle, {"masks": masks}), ("label_studio_sdk", peers.sdk_rle, {"masks": masks})) as both:
        mine, theirs = in_turn(both, rounds)
    yield compared(name, times(mine), times(theirs), equal(mine, theirs), EQUAL).adding(
        peaks_mb=peaks(mine, theirs), stream_bytes=[len(ran.output) for ran in mine[: len(masks)]]
    )


def equal(mine: Sequence[Ran], theirs: Sequence[Ran]) -> float:
    """Which share of the streams is the same, byte for byte."""
    return float(np.mean([a.output == b.output for a, b in zip(mine, theirs, strict=True)]))


def drawn(size: tuple[int, int]) -> list[Bitmap]:
    """An ellipse, a wavy blob and a rough one, bool (H, W)."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    round_one = ((x / width - 0.5) / 0.3) ** 2 + ((y / height - 0.5) / 0.35) ** 2
    return [round_one < 1, *(round_one + _waves(size, cells) < 1 for cells in (16, 128))]


def _waves(size: tuple[int, int], cells: int) -> NDArray[np.float32]:
    """Noise of so many waves across, as SAM's logits of 256×256 become when they are brought to full size."""
    noise = np.random.default_rng(cells).normal(0, 0.25, (cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(cv2.resize(noise, (256, 256)), size[::-1]), np.float32)


if __name__ == "__main__":
    main()
