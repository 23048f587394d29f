"""The encoder beside segment-anything in torch, ONNX Runtime, its own INT8, and the machine's limit.

    python benchmarks/encoder.py --json encoder.json --plot encoder.png

vit_b with seeded random weights on one picture of 1500×1000, each side in a process of its own, in turn. Where the CPU
has bf16, ours is in bf16; elsewhere the rows about bf16 stay empty, and rows of f32 stand beside them. Agreement is
that of the built-in model's masks over 60 prompts. The limit is the speed of matrix products, measured in the same run.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import ours, peak, peers, report, work
from benchmarks.agreement import agreement
from benchmarks.machine import Precision, best_precision
from benchmarks.rows import BF16, F32, INT8, Row, compared
from benchmarks.sides import Ran, in_turn, peaks, sides, times
from tests.support import scenes

GFLOP = 972
"""Of vit_b's encoder at 1024×1024."""
LEAST_COSINE = {"f32": 0.9999, "bf16": 0.995}
LIMIT = {"f32": F32, "bf16": BF16}
NO_BF16 = "this CPU has no bf16"
BF16_ROWS = (
    *("encoder_bf16_vs_torch_f32", "encoder_bf16_vs_torch_bf16"),
    *("encoder_bf16_of_peak", "encoder_int8_vs_bf16"),
)


def main() -> None:
    given = report.options(__doc__)
    precision = best_precision()
    rows = [] if precision == "bf16" else [Row(name, skipped=NO_BF16) for name in BF16_ROWS]
    rows += measure(precision, short=given.short)
    sys.exit(report.finish("Encoder", rows, given))


def measure(precision: Precision, *, short: bool) -> list[Row]:
    """The rows of an encoder in this precision."""
    rgb = scenes.draw(1500, 1000, scenes.STAGE).rgb
    rounds, seconds = (2, 60.0) if short else (5, 120.0)
    folder, agrees = work.vit_b(), agreement(work.BUILTIN, precision)
    names = [f"encoder_{precision}_vs_torch_{kind}" for kind in _kinds(precision)] + [f"encoder_{precision}_of_peak"]
    rows = report.attempt(names, lambda: _torch(precision, folder, agrees, rgb, rounds, seconds))
    onnx = "encoder_vs_onnxruntime"
    rows += report.attempt([onnx], lambda: _onnx(onnx, precision, folder, agrees, rgb, rounds, seconds))
    int8 = f"encoder_int8_vs_{precision}"
    return rows + report.attempt([int8], lambda: _int8(int8, precision, folder, rgb, rounds, seconds))


def _kinds(precision: Precision) -> tuple[peers.Arithmetic, ...]:
    return ("f32", "bf16") if precision == "bf16" else ("f32",)


Rgb = NDArray[np.uint8]


def _torch(precision: Precision, folder: Path, agrees: float, rgb: Rgb, rounds: int, seconds: float) -> Iterator[Row]:
    rates = peak.peaks((precision,))
    torches = [
        (f"torch {kind}", peers.torch_encoder, {"architecture": "vit_b", "seed": work.SEED, "arithmetic": kind})
        for kind in _kinds(precision)
    ]
    with sides(("ours", ours.encoder, {"folder": folder, "precision": precision}), *torches) as both:
        mine, *theirs = in_turn(both, [(rgb,)] * rounds, seconds=seconds)
    for kind, ran in zip(_kinds(precision), theirs, strict=True):
        row = _row(f"encoder_{precision}_vs_torch_{kind}", precision, agrees, mine, ran)
        yield row.adding(of_peak=_of_peak(times(mine), rates[precision]))
    limit = GFLOP * 1e9 / rates[precision]
    row = compared(f"encoder_{precision}_of_peak", times(mine), [limit], agrees, LIMIT[precision])
    yield row.adding(precision=precision, peak_gflops=round(rates[precision] / 1e9), gflop=GFLOP)


def _onnx(
    name: str, precision: Precision, folder: Path, agrees: float, rgb: Rgb, rounds: int, seconds: float
) -> Iterator[Row]:
    file = work.onnx()[0]
    mine = ("ours", ours.encoder, {"folder": folder, "precision": precision})
    with sides(mine, ("ONNX Runtime", peers.onnx_encoder, {"file": file, "side": 1024})) as both:
        yield _row(name, precision, agrees, *in_turn(both, [(rgb,)] * rounds, seconds=seconds))


def _row(name: str, precision: Precision, agrees: float, mine: Sequence[Ran], theirs: Sequence[Ran]) -> Row:
    """A row whose sides must also agree on the embedding of these very runs."""
    cosine = _cosine(mine[-1].output, theirs[-1].output)
    wanted = LEAST_COSINE["bf16" if "bf16" in name else precision]
    faults = () if cosine >= wanted else (f"the embeddings' cosine is {cosine:.5f}, {wanted} is asked for",)
    row = compared(name, times(mine), times(theirs), agrees, LIMIT[precision], cosine=round(cosine, 6))
    return Row(name, row.ours, row.peer, agrees, row.limit, faults=faults, more=row.more).adding(
        precision=precision, peaks_mb=peaks(mine, theirs)
    )


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    a, b = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def _of_peak(seconds: Sequence[float], rate: float) -> float:
    return round(GFLOP * 1e9 / rate / float(np.median(seconds)), 3)


def _int8(name: str, precision: Precision, folder: Path, rgb: Rgb, rounds: int, seconds: float) -> Iterator[Row]:
    agrees = agreement(work.quantized(work.BUILTIN, "builtin-int8"), precision)
    small = work.quantized(folder, "vit_b-int8")
    mine = ("INT8", ours.encoder, {"folder": small, "precision": precision})
    with sides(mine, (precision, ours.encoder, {"folder": folder, "precision": precision})) as both:
        ran, full = in_turn(both, [(rgb,)] * rounds, seconds=seconds)
    cosine = round(_cosine(ran[-1].output, full[-1].output), 5)
    row = compared(name, times(ran), times(full), agrees, INT8, cosine=cosine, precision=f"int8, {precision}")
    yield row.adding(peaks_mb=peaks(ran, full), of_peak=_of_peak(times(ran), peak.peaks(("int8",))["int8"]))


if __name__ == "__main__":
    main()
