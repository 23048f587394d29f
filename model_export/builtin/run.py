"""A training run: weights, their average, the optimizer, and the step that moves them."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from model_export.builtin.network import build_builtin
from model_export.builtin.optimizer import MuonAdamW
from model_export.builtin.samples import Batch
from model_export.builtin.standardize import baked, standardize
from model_export.builtin.step import training_loss
from model_export.builtin.team import Team

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

ALONE = Team()
Loss = Callable[["Sam", Batch, np.random.Generator], Tensor]
_WEIGHT_DECAY = 0.03
_AVERAGED = 0.998


def _groups(sam: nn.Module) -> list[dict[str, object]]:
    """Matrices and convolutions take Muon; tables, gains, biases and norms AdamW without decay; frozen ones neither."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in sam.named_parameters():
        if not parameter.requires_grad:
            continue
        is_matrix = parameter.flatten(1).shape[1] > 1 if parameter.ndim > 1 else False
        table = "token" in name or "embed" in name
        (matrices if is_matrix and not table else others).append(parameter)
    return [{"params": matrices, "muon": True}, {"params": others, "weight_decay": 0.0}]


@dataclass
class Run:
    """What a run carries from step to step: float32 weights, their moving average, the optimizer, the time spent.

    `working` computes with them, maybe at another precision; `loss` is what a step lowers.
    """

    weights: "Sam"
    average: "Sam"
    working: "Sam"
    optimizer: MuonAdamW
    loss: Loss
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
    return run_of(weights, working, training_loss)


def run_of(weights: "Sam", working: "Sam", loss: Loss) -> Run:
    """A run that begins with these weights; `working` is their copy."""
    average = copy.deepcopy(weights).requires_grad_(False)
    return Run(weights, average, working, MuonAdamW(_groups(weights), 0.0, _WEIGHT_DECAY), loss)


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
    keep = min(_AVERAGED, (1 + run.steps) / (10 + run.steps))
    for average, current in zip(run.average.parameters(), run.weights.parameters(), strict=True):
        average.lerp_(current, 1 - keep)


def train_step(run: Run, batch: Batch, rng: np.random.Generator, rate: float, team: Team = ALONE) -> float:
    """One step of the team; this process's loss."""
    _copy_weights(run.weights, run.working)
    loss = run.loss(run.working, batch, rng)
    loss.backward()
    _update(run, rate, team)
    run.steps += 1
    return float(loss.detach())


def trained(run: Run) -> "Sam":
    """The averaged weights in a plain network."""
    return baked(run.average).eval()
