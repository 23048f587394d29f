"""Several processes of one thread each that train one network.

They meet once a step; threads would meet in every operation, which on a busy machine leaves half of it idle.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Team:
    """This process's place among `count`; the one of rank 0 measures and writes checkpoints."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process speaks for the others."""
        return self.rank == 0

    def join(self, meeting: Path) -> None:
        """Meet the others; `meeting` is a file that doesn't exist yet, the same for all."""
        if self.count > 1:
            distributed.init_process_group(
                "gloo", init_method=f"file://{meeting.resolve()}", rank=self.rank, world_size=self.count
            )

    def mean(self, tensors: list[Tensor]) -> list[Tensor]:
        """Each tensor's mean over the team."""
        if self.count == 1:
            return tensors
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        parts = (flat / self.count).split([tensor.numel() for tensor in tensors])
        return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]

    def leaders(self, value: float) -> float:
        """The leader's value, to all."""
        if self.count == 1:
            return value
        box = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(box, 0)
        return float(box)
