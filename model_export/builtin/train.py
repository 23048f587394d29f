"""Training of the built-in model: `python -m model_export.builtin.train RUN --bank BANK --minutes 95`.

The schedule goes by the minutes spent training, which the run's checkpoint carries: a killed run, started again with
the same command, goes on where it was.
"""

import argparse
import copy
import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from model_export.builtin.evaluate import held_out_scores
from model_export.builtin.network import IMAGE_SIZE, build_builtin, resize_frame
from model_export.builtin.optimizer import MuonAdamW
from model_export.builtin.samples import Batch, Samples
from model_export.builtin.standardize import baked, standardize
from model_export.builtin.step import training_loss

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

_WARM_UP = 0.015
_LAST_RATE = 0.01


@dataclass(frozen=True)
class Stage:
    """A part of the run: `share` of its time at input `size`, `images` a step."""

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


def _groups(sam: nn.Module) -> list[dict[str, object]]:
    """Matrices and convolutions take Muon; embeddings, gains, biases and norms AdamW without decay."""
    matrices, others = [], []
    for name, parameter in sam.named_parameters():
        is_matrix = parameter.flatten(1).shape[1] > 1 if parameter.ndim > 1 else False
        table = "token" in name or "embed" in name
        (matrices if is_matrix and not table else others).append(parameter)
    return [{"params": matrices, "muon": True}, {"params": others, "weight_decay": 0.0}]


@dataclass
class Run:
    """What a run carries from step to step: float32 weights, their moving average, the optimizer, the time spent."""

    weights: "Sam"
    average: "Sam"
    working: "Sam"
    optimizer: MuonAdamW
    steps: int = 0
    seconds: float = 0.0
    curve: list[str] = field(default_factory=list)

    def state(self) -> dict[str, object]:
        """Everything that a checkpoint must hold."""
        return {
            "weights": self.weights.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
            "seconds": self.seconds,
            "curve": self.curve,
        }

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.weights.load_state_dict(state["weights"])
        self.working.load_state_dict(state["weights"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps, self.seconds, self.curve = state["steps"], state["seconds"], state["curve"]


def new_run(seed: int) -> Run:
    """Fresh weights, the same for the same seed."""
    torch.manual_seed(seed)
    weights = build_builtin()
    standardize(weights)
    working = copy.deepcopy(weights)
    # Half the memory traffic; positions and prompts stay exact.
    working.image_encoder.to(torch.bfloat16, memory_format=torch.channels_last)
    working.mask_decoder.bfloat16()
    return Run(weights, copy.deepcopy(weights).requires_grad_(False), working, MuonAdamW(_groups(weights), 0.0, 0.03))


@torch.no_grad()
def _copy_weights(source: nn.Module, target: nn.Module) -> None:
    for a, b in zip(source.parameters(), target.parameters(), strict=True):
        b.copy_(a)
        b.grad = None


@torch.no_grad()
def _update(run: Run, rate: float) -> None:
    """Gradients of the working copy to a step of the weights, and of their average."""
    for mine, theirs in zip(run.weights.parameters(), run.working.parameters(), strict=True):
        mine.grad = None if theirs.grad is None else theirs.grad.float()
    nn.utils.clip_grad_norm_(run.weights.parameters(), 1.0)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.optimizer.step()
    keep = min(0.998, (1 + run.steps) / (10 + run.steps))
    for average, current in zip(run.average.parameters(), run.weights.parameters(), strict=True):
        average.lerp_(current, 1 - keep)


def train_step(run: Run, batch: Batch, rng: np.random.Generator, rate: float) -> float:
    """One step; its loss."""
    _copy_weights(run.weights, run.working)
    loss: Tensor = training_loss(run.working, batch, rng)
    loss.backward()  # type: ignore[no-untyped-call]
    _update(run, rate)
    run.steps += 1
    return float(loss.detach())


def trained(run: Run) -> "Sam":
    """The averaged weights in a plain network."""
    return baked(run.average).eval()


def save(state: object, path: Path) -> None:
    """Whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    torch.save(state, partial)
    partial.replace(path)


def half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights in float16, except the positions' frequencies, which stay exact."""
    return {k: v if "gaussian" in k else v.half() for k, v in state.items()}


def _batches(bank: Path, stage: Stage, prompts: int, seed: int) -> DataLoader[Batch]:
    samples = Samples(bank, stage.size, stage.images, prompts, seed)
    return DataLoader(samples, batch_size=None, num_workers=1, prefetch_factor=3, multiprocessing_context="spawn")


def _measure(run: Run, scenes: int, size: int, losses: list[float]) -> str:
    sam = trained(run)
    resize_frame(sam, size)
    scores = held_out_scores(sam, scenes)
    return f"{run.seconds / 60:5.1f} min  step {run.steps:5d}  size {size}  loss {np.mean(losses):.3f}  {scores.line()}"


def train(run: Run, schedule: Schedule, options: argparse.Namespace) -> None:
    """Train to the schedule's end, with checkpoints and held-out figures on the way."""
    total = schedule.minutes * 60
    bar = tqdm(total=round(schedule.minutes, 1), initial=round(run.seconds / 60, 1), unit="min", mininterval=10)
    losses: list[float] = []
    noted = saved = last = time.monotonic()
    while run.seconds < total:
        stage = schedule.stage(run.seconds / total)
        resize_frame(run.working, stage.size)
        rng = np.random.default_rng((options.seed, run.steps))
        for batch in _batches(options.bank, stage, schedule.prompts, options.seed + run.steps):
            losses.append(train_step(run, batch, rng, schedule.rate_at(run.seconds / total)))
            now = time.monotonic()
            if now - saved > options.save_every * 60:
                checkpoint(run, options)
                saved = time.monotonic()
            if now - noted > options.measure_every * 60:
                run.curve.append(_measure(run, options.scenes, stage.size, losses[-200:]))
                tqdm.write(run.curve[-1])
                noted = time.monotonic()
            last, before = time.monotonic(), last
            run.seconds += last - before
            bar.set_postfix(step=run.steps, size=stage.size, loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
            bar.n = round(run.seconds / 60, 1)
            bar.update(0)
            if schedule.stage(run.seconds / total) != stage or run.seconds >= total:
                break
    checkpoint(run, options)


def checkpoint(run: Run, options: argparse.Namespace) -> None:
    """Write the run's state, and the network as it is now to `--snapshot`."""
    save(run.state(), options.run / "checkpoint.pt")
    save(half(trained(run).state_dict()), options.run / "builtin.pt")
    if options.snapshot:
        save(trained(run).state_dict(), options.snapshot)


def _stages(text: str) -> tuple[Stage, ...]:
    parts = [part.split(":") for part in text.split(",")]
    return tuple(Stage(int(size), float(share), int(images)) for size, share, images in parts)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m model_export.builtin.train", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the checkpoint and of the result, builtin.pt")
    parser.add_argument("--bank", type=Path, required=True, help="folder made by model_export.builtin.bank")
    parser.add_argument("--minutes", type=float, default=95, help="time to train, wall clock")
    parser.add_argument("--stages", type=_stages, default="192:0.35:8,288:0.3:6,384:0.35:4", help="size:share:images,…")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--prompts", type=int, default=12, help="per image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=float, default=4, help="minutes")
    parser.add_argument("--measure-every", type=float, default=7, help="minutes")
    parser.add_argument("--scenes", type=int, default=24, help="held-out scenes to measure on, on the way")
    parser.add_argument("--snapshot", type=Path, help="keep the newest network here")
    return parser.parse_args()


def main() -> None:
    """Train, or go on training."""
    options = _options()
    options.run.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    run = new_run(options.seed)
    if (options.run / "checkpoint.pt").exists():
        run.load(options.run / "checkpoint.pt")
    train(run, Schedule(options.minutes, options.stages, options.rate, options.prompts), options)


if __name__ == "__main__":
    main()
