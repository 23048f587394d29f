"""Training of the built-in model: `python -m model_export.builtin.train RUN --bank BANK --minutes 95`.

The schedule goes by the minutes spent training, which the run's checkpoint carries: a killed run, started again with
the same command, goes on where it was.
"""

import argparse
import copy
import math
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.utils.data import DataLoader
from tqdm import tqdm

from model_export.builtin.evaluate import held_out_scores
from model_export.builtin.network import build_builtin, resize_frame
from model_export.builtin.optimizer import MuonAdamW
from model_export.builtin.samples import Batch, Samples
from model_export.builtin.standardize import baked, standardize
from model_export.builtin.step import training_loss
from model_export.builtin.team import Team

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

ALONE = Team()
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


def _groups(sam: nn.Module) -> list[dict[str, object]]:
    """Matrices and convolutions take Muon; embeddings, gains, biases and norms AdamW without decay."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
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
def _update(run: Run, rate: float, team: Team) -> None:
    """Gradients of the working copy, the team's mean, to a step of the weights, and of their average."""
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in run.working.parameters()]
    gradients = team.mean([gradient.float() for gradient in found])
    for parameter, gradient in zip(run.weights.parameters(), gradients, strict=True):
        parameter.grad = gradient
    nn.utils.clip_grad_norm_(run.weights.parameters(), 1.0)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    run.optimizer.step()
    keep = min(0.998, (1 + run.steps) / (10 + run.steps))
    for average, current in zip(run.average.parameters(), run.weights.parameters(), strict=True):
        average.lerp_(current, 1 - keep)


def train_step(run: Run, batch: Batch, rng: np.random.Generator, rate: float, team: Team = ALONE) -> float:
    """One step of the team; this process's loss."""
    _copy_weights(run.weights, run.working)
    loss: Tensor = training_loss(run.working, batch, rng)
    loss.backward()
    _update(run, rate, team)
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


def _batches(bank: Path, stage: Stage, prompts: int, seed: tuple[int, ...]) -> DataLoader[Batch]:
    samples = Samples(bank, stage.size, stage.images, prompts, seed)
    return DataLoader(samples, batch_size=None, num_workers=1, prefetch_factor=3, multiprocessing_context="spawn")


def _measure(run: Run, scenes: int, size: int, losses: list[float]) -> str:
    sam = trained(run)
    resize_frame(sam, size)
    scores = held_out_scores(sam, scenes)
    return f"{run.seconds / 60:5.1f} min  step {run.steps:5d}  size {size}  loss {np.mean(losses):.3f}  {scores.line()}"


class Log:
    """Progress bar, checkpoints and held-out figures on the way; silent in all but the team's leader."""

    def __init__(self, run: Run, schedule: Schedule, options: argparse.Namespace, team: Team) -> None:
        self.run, self.options, self.leads = run, options, team.leads
        minutes = round(run.seconds / 60, 1)
        self.bar = tqdm(total=schedule.minutes, initial=minutes, unit="min", mininterval=10, disable=not team.leads)
        self.losses: list[float] = []
        self.noted = self.saved = time.monotonic()

    def note(self, loss: float, size: int) -> None:
        """After each step."""
        self.losses = [*self.losses[-199:], loss]
        self.bar.set_postfix(step=self.run.steps, size=size, loss=f"{np.mean(self.losses[-50:]):.3f}", refresh=False)
        self.bar.update(round(self.run.seconds / 60, 1) - self.bar.n)
        if self.leads and time.monotonic() - self.saved > self.options.save_every * 60:
            checkpoint(self.run, self.options)
            self.saved = time.monotonic()
        if self.leads and time.monotonic() - self.noted > self.options.measure_every * 60:
            self.run.curve.append(_measure(self.run, self.options.scenes, size, self.losses))
            tqdm.write(self.run.curve[-1])
            self.noted = time.monotonic()


def train(run: Run, schedule: Schedule, options: argparse.Namespace, team: Team) -> None:
    """Train to the schedule's end. All of the team keep to the leader's clock."""
    total = schedule.minutes * 60
    log = Log(run, schedule, options, team)
    last = time.monotonic()
    while run.seconds < total:
        stage = schedule.stage(run.seconds / total)
        resize_frame(run.working, stage.size)
        seed = (options.seed, run.steps, team.rank)
        rng = np.random.default_rng(seed)
        for batch in _batches(options.bank, stage, schedule.prompts, seed):
            loss = train_step(run, batch, rng, schedule.rate_at(run.seconds / total), team)
            log.note(loss, stage.size)
            last, before = time.monotonic(), last
            run.seconds = team.leaders(run.seconds + last - before)
            if schedule.stage(run.seconds / total) != stage or run.seconds >= total:
                break
    if team.leads:
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
    parser.add_argument("--stages", type=_stages, default="192:0.35:5,288:0.3:3,384:0.35:2", help="size:share:images,…")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--prompts", type=int, default=12, help="per image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2, help="each takes its own batches; --stages counts for each")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--save-every", type=float, default=4, help="minutes")
    parser.add_argument("--measure-every", type=float, default=7, help="minutes")
    parser.add_argument("--scenes", type=int, default=24, help="held-out scenes to measure on, on the way")
    parser.add_argument("--snapshot", type=Path, help="keep the newest network here")
    return parser.parse_args()


def _work(rank: int, options: argparse.Namespace, meeting: Path) -> None:
    """One process of the team, start to end."""
    torch.set_num_threads(options.threads)
    team = Team(rank, options.processes)
    team.join(meeting)
    run = new_run(options.seed)
    if (options.run / "checkpoint.pt").exists():
        run.load(options.run / "checkpoint.pt")
    train(run, Schedule(options.minutes, options.stages, options.rate, options.prompts), options, team)


def main() -> None:
    """Train, or go on training."""
    options = _options()
    options.run.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    with tempfile.TemporaryDirectory() as folder:
        arguments = (options, Path(folder) / "meeting")
        team = spawn(_work, arguments, nprocs=options.processes, join=False)
        try:
            while not team.join():
                pass
        finally:
            for process in team.processes:
                process.terminate()


if __name__ == "__main__":
    main()
