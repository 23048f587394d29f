"""Weight standardization, which stands in for batch normalization and costs nothing per pixel.

While training, the weight of each convolution of the encoder is `gain * (v - mean(v)) / (std(v) * sqrt(fan_in))`, per
output channel; `baked` makes a network of plain convolutions.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from model_export.builtin.network import Residual, build_builtin

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

_RELU_GAIN = 2**0.5
_BRANCH_GAIN = 0.25


class Standardized(nn.Module):
    """The parametrization of one convolution's weight."""

    def __init__(self, channels: int, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((channels, 1, 1, 1), gain))

    def forward(self, v: Tensor) -> Tensor:
        """(out, in, k, k) to the same shape and dtype, computed in float32."""
        wide = v.float()
        spread, mean = torch.std_mean(wide, (1, 2, 3), keepdim=True, correction=0)
        scale = self.gain.float() / ((spread + 1e-5) * v[0].numel() ** 0.5)
        return ((wide - mean) * scale).to(v.dtype)


def standardize(sam: "Sam") -> None:
    """Give each convolution of the image encoder a standardized weight; residual branches begin small."""
    branches = {block.conv2 for block in sam.image_encoder.modules() if isinstance(block, Residual)}
    for module in list(sam.image_encoder.modules()):
        if isinstance(module, nn.Conv2d):
            gain = _BRANCH_GAIN if module in branches else 1.0
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
            parametrize.register_parametrization(module, "weight", Standardized(module.out_channels, gain * _RELU_GAIN))


@torch.no_grad()
def baked(sam: "Sam") -> "Sam":
    """A plain network that computes what `sam` computes, with the standardized weights written out."""
    plain = build_builtin()
    state = {name: tensor for name, tensor in sam.state_dict().items() if "parametrizations" not in name}
    for name, module in sam.image_encoder.named_modules():
        if parametrize.is_parametrized(module):
            state[f"image_encoder.{name}.weight"] = module.weight
    plain.load_state_dict(state)
    return plain
