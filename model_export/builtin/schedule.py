"""When training does what: input sizes and learning rates by progress, from 0 to 1."""

import math
from dataclasses import dataclass

_WARM_UP = 0.015
_LAST_RATE = 0.01


@dataclass(frozen=True)
class Stage:
    """A part of the run: `share` of its time at input `size`, `images` a step in each process."""

    size: int
    share: float
    images: int


@dataclass(frozen=True)
class Schedule:
    """The whole run."""

    minutes: float
    stages: tuple[Stage, ...]
    rate: float
    prompts: int

    def stage(self, progress: float) -> Stage:
        """The stage at `progress` in [0, 1]."""
        for stage in self.stages:
            if progress < stage.share:
                return stage
            progress -= stage.share
        return self.stages[-1]

    def rate_at(self, progress: float) -> float:
        """Linear warm-up, then a cosine down to a hundredth."""
        if progress < _WARM_UP:
            return self.rate * (progress + 1e-4) / _WARM_UP
        cosine = 0.5 + 0.5 * math.cos(math.pi * min(progress, 1.0))
        return self.rate * (_LAST_RATE + (1 - _LAST_RATE) * cosine)
