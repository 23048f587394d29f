"""Weights between two files' weights: `python -m model_export.builtin.blend TRAINED REFINED OUTPUT --share 0.65`.

What refinement costs on the first answers falls faster than what it gives on the later ones.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from model_export.builtin.train import save


def blend(one: dict[str, Tensor], other: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """The way from `one` to `other`, as far as `share` of it, in the dtype of `one`; what is equal stays to the bit."""
    return {name: _between(a, other[name], share) for name, a in one.items()}


def _between(a: Tensor, b: Tensor, share: float) -> Tensor:
    # Where both are -0, the interpolation is +0.
    return torch.where(a == b, a, torch.lerp(a.float(), b.float(), share).to(a.dtype))


def main() -> None:
    """Read two files, write the third."""
    parser = argparse.ArgumentParser(prog="python -m model_export.builtin.blend", description=__doc__)
    parser.add_argument("trained", type=Path)
    parser.add_argument("refined", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--share", type=float, default=0.65, help="of the way from trained to refined")
    options = parser.parse_args()
    one, other = (torch.load(path, weights_only=True) for path in (options.trained, options.refined))
    save(blend(one, other, options.share), options.output)


if __name__ == "__main__":
    main()
