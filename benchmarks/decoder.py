"""The decoder on a cached embedding, beside segment-anything in torch (f32) and ONNX Runtime: a click, and 64 prompts.

    python benchmarks/decoder.py --json decoder.json

vit_b with seeded random weights, each side in a process of its own, in turn, on the same embedding. Nobody brings masks
to full size here. 64 prompts go in batches as automatic mode sends them, and masks 1 to 3 of all are drawn; the peers
take all at once. Agreement is that of the built-in model's masks over 60 prompts; the logits of these very runs must
agree too.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import ours, peers, report, work
from benchmarks.agreement import agreement
from benchmarks.machine import Precision, best_precision
from benchmarks.rows import BF16, F32, Row, compared
from benchmarks.sides import Made, Ran, Side, in_turn, peaks, sides, times
from sam_backend.automatic_settings import AutomaticSettings
from tests.support import scenes

SIZE = (1000, 1500)
GRID = 64
LIMIT = {"f32": F32, "bf16": BF16}
LARGEST_DELTA = {"f32": 1e-3, "bf16": 0.1}
"""Of the logits, relative to their range."""
TORCH_ROWS = ("decoder_click_vs_torch", "decoder_64_vs_torch")
ONNX_ROWS = ("decoder_click_vs_onnxruntime", "decoder_64_vs_onnxruntime")


def main() -> None:
    given = report.options(__doc__)
    precision = best_precision()
    agrees = agreement(work.BUILTIN, precision)
    rows = report.attempt(TORCH_ROWS, lambda: measure("torch", precision, agrees, short=given.short))
    rows += report.attempt(ONNX_ROWS, lambda: measure("onnxruntime", precision, agrees, short=given.short))
    sys.exit(report.finish("Decoder", rows, given))


def measure(peer: str, precision: Precision, agrees: float, *, short: bool) -> Iterator[Row]:
    """One click, then 64 prompts."""
    file = work.onnx()[1] if peer == "onnxruntime" else None
    about = {"folder": work.vit_b(), "precision": precision}
    with sides(("ours", ours.embedder, about)) as [encoder]:
        embedding = encoder.run(scenes.draw(SIZE[1], SIZE[0], scenes.STAGE).rgb).output
    options = {"embedding": embedding, "batch": AutomaticSettings().points_per_batch}
    features = np.asarray(embedding.features["image_embeddings"])
    with sides(("ours", ours.decoder, about | options), _peer(file, features)) as both:
        click = in_turn(both, _clicks(15 if short else 60), warm=2)
        yield _row(f"decoder_click_vs_{peer}", precision, agrees, click)
        yield _row(f"decoder_{GRID}_vs_{peer}", precision, agrees, _grids(both, 2 if short else 5))


def _peer(file: Path | None, embedding: NDArray[np.float32]) -> Made:
    given: dict[str, Any] = {"embedding": embedding, "size": SIZE}
    if file:
        return "ONNX Runtime", peers.onnx_decoder, given | {"file": file, "side": 1024}
    return "torch f32", peers.torch_decoder, given | {"architecture": work.ARCHITECTURE, "seed": work.SEED}


def _clicks(count: int) -> list[tuple[NDArray[np.float64]]]:
    places = np.random.default_rng(0).uniform((0, 0), SIZE[::-1], (count, 2))
    return [(place[None],) for place in places]


def _grids(both: Sequence[Side], rounds: int) -> list[list[Ran]]:
    random = np.random.default_rng(1)
    inputs = [(random.uniform((0, 0), SIZE[::-1], (GRID, 2)),) for _ in range(rounds)]
    return in_turn(both, inputs, seconds=100, least=min(rounds, 3))


def _row(name: str, precision: Precision, agrees: float, runs: Sequence[Sequence[Ran]]) -> Row:
    mine, theirs = runs
    delta = max(_delta(a.output, b.output) for a, b in zip(mine, theirs, strict=True))
    wanted = LARGEST_DELTA[precision]
    faults = () if delta <= wanted else (f"logits differ by {delta:.1e} of their range, {wanted} is the most",)
    row = compared(name, times(mine), times(theirs), agrees, LIMIT[precision], delta=float(f"{delta:.2g}"))
    return Row(name, row.ours, row.peer, agrees, row.limit, faults=faults, more=row.more).adding(
        precision=precision, peaks_mb=peaks(mine, theirs)
    )


def _delta(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The largest difference of what `one` has, all masks or all but mask 0, relative to the range of `other`."""
    other = other[:, -one.shape[1] :]
    return float(np.abs(one - other).max() / max(np.ptp(other), 1e-6))


if __name__ == "__main__":
    main()
