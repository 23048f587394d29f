"""How long an encode takes on this machine, before and after."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openvino

_ROUNDS = 3


@dataclass(frozen=True)
class Speed:
    """Seconds for one image, each the median.

    Attributes:
        before: of the model folder.
        after: of the quantized one.
        precision: what OpenVINO computes in where nothing is quantized: the best that this processor has.
    """

    before: float
    after: float
    precision: str

    @property
    def ratio(self) -> float:
        """How many times as fast the quantized model is; below 1 it is slower."""
        return self.before / self.after


def measure(before: Path, after: Path, inputs: dict[str, Any]) -> Speed:
    """Encode one image with both model folders in turn."""
    models = [_compiled(before), _compiled(after)]
    for model in models:
        model(inputs)
    rounds = [[_seconds(model, inputs) for model in models] for _ in range(_ROUNDS)]
    first, second = (statistics.median(times) for times in zip(*rounds, strict=True))
    return Speed(first, second, models[0].get_property("INFERENCE_PRECISION_HINT").get_type_name())


def _compiled(folder: Path) -> openvino.CompiledModel:
    return openvino.Core().compile_model(folder / "encoder.xml", "CPU", {"PERFORMANCE_HINT": "LATENCY"})


def _seconds(model: openvino.CompiledModel, inputs: dict[str, Any]) -> float:
    started = time.perf_counter()
    model(inputs)
    return time.perf_counter() - started
