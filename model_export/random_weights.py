"""Seeded weights for tests and benchmarks: speed and parity carry over from them to real ones, masks do not."""

import hashlib
from typing import TYPE_CHECKING

import torch

from model_export.architectures import Architecture

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

# Fresh weights make a parity test vacuous: relative positions and `pos_embed` are zero and attention is nearly
# uniform. (Part of a parameter's name, standard deviation to draw it with) and (part, factor to scale it by).
_DRAW = (("rel_pos", 0.1), ("pos_embed", 0.5))
_SCALE = (("qkv.weight", 2.5),)


def build(architecture: Architecture, seed: int) -> "Sam":
    """The architecture with weights drawn from `seed`; torch's own random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sam = architecture.build()
        with torch.no_grad():
            for name, parameter in sam.named_parameters():
                _liven(name, parameter)
    return sam


def _liven(name: str, parameter: torch.Tensor) -> None:
    for part, deviation in _DRAW:
        if part in name:
            parameter.normal_(std=deviation)
    for part, factor in _SCALE:
        if part in name:
            parameter.mul_(factor)


def digest(sam: "Sam") -> str:
    """SHA-256 over names and bytes of all weights: what stands for a checkpoint's checksum where there is no file."""
    sha256 = hashlib.sha256()
    for name, tensor in sam.state_dict().items():
        sha256.update(name.encode())
        sha256.update(memoryview(tensor.contiguous().numpy()).cast("B"))
    return sha256.hexdigest()
