"""How fast this machine multiplies matrices at best, measured through OpenVINO: the limit of all the rest.

    python benchmarks/peak.py

Chains of four products of 2048×2048 matrices; the best of some runs. What lies around the int8 products (rounding their
inputs) is counted in.
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import best_precision, machine

SIZE, CHAIN = 2048, 4
SECONDS = 4.0


def main() -> None:
    print(machine())
    for kind, rate in peaks(("f32", "bf16", "int8")).items():
        print(f"{kind:5} {rate / 1e9:7.0f} GFLOP/s")


def peaks(kinds: tuple[str, ...]) -> dict[str, float]:
    """FLOP/s of each of f32, bf16 and int8 that this CPU has."""
    return {kind: _rate(kind) for kind in kinds if kind != "bf16" or best_precision() == "bf16"}


def _rate(kind: str) -> float:
    import openvino

    precision = "bf16" if kind == "bf16" else "f32"
    compiled = openvino.Core().compile_model(
        _chain(kind == "int8"), "CPU", {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    )
    request = compiled.create_infer_request()
    given = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)
    request.infer([given])
    best, end = float("inf"), time.monotonic() + SECONDS
    while time.monotonic() < end:
        started = time.perf_counter()
        request.infer([given], share_inputs=True)
        best = min(best, time.perf_counter() - started)
    return CHAIN * 2 * SIZE**3 / best


def _chain(int8: bool) -> "object":  # noqa: FBT001 - the only choice
    import openvino
    from openvino import opset13 as ops

    given = ops.parameter((SIZE, SIZE), np.float32)
    random = np.random.default_rng(0)
    out = given
    for _ in range(CHAIN):
        weights = random.integers(-127, 128, (SIZE, SIZE)).astype(np.int8)
        scaled = ops.multiply(
            ops.convert(ops.constant(weights), np.float32), ops.constant(np.full((SIZE, 1), 3e-4, np.float32))
        )
        if int8:
            low, high = ops.constant(np.float32(-4)), ops.constant(np.float32(4 * 127 / 128))
            out = ops.fake_quantize(out, low, high, low, high, 256)
            out = ops.matmul(out, scaled, transpose_a=False, transpose_b=True)
        else:
            product = (weights.astype(np.float32) * 3e-4).astype(np.float32)
            out = ops.matmul(out, ops.constant(product), transpose_a=False, transpose_b=True)
    return openvino.Model([out], [given])


if __name__ == "__main__":
    main()
