"""AdamW, with Muon for the matrices: their momentum, orthogonalized, is the step."""

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """About the nearest matrix with orthonormal rows or columns, by Newton-Schulz iteration (Muon, Jordan 2024)."""
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).float()


class MuonAdamW(torch.optim.Optimizer):
    """Groups with `muon=True` take orthogonalized momentum, scaled to the size of an AdamW step; others AdamW."""

    def __init__(self, groups: list[dict[str, object]], lr: float, weight_decay: float) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, "muon": False})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure is ever given
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                move = (self._muon if group["muon"] else self._adam)(parameter, parameter.grad)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(move, alpha=group["lr"])

    def _muon(self, parameter: Tensor, gradient: Tensor) -> Tensor:
        state = self.state[parameter]
        momentum = state.setdefault("momentum", torch.zeros_like(parameter))
        momentum.lerp_(gradient, 0.05)
        ahead = torch.lerp(gradient, momentum, 0.95).flatten(1)
        scale = 0.2 * max(ahead.shape) ** 0.5
        return (orthogonal(ahead) * scale).view_as(parameter)

    def _adam(self, parameter: Tensor, gradient: Tensor) -> Tensor:
        state = self.state[parameter]
        first = state.setdefault("first", torch.zeros_like(parameter))
        second = state.setdefault("second", torch.zeros_like(parameter))
        state["step"] = state.get("step", 0) + 1
        first.lerp_(gradient, 0.1)
        second.lerp_(gradient * gradient, 0.01)
        n = state["step"]
        return (first / (1 - 0.9**n)) / ((second / (1 - 0.99**n)).sqrt() + 1e-8)
