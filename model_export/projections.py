"""What the mask decoder's first block reads of an image, apart from the prompts that will meet it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from segment_anything.modeling import TwoWayTransformer


@dataclass(frozen=True)
class Projections:
    """What the first block's attentions make of an image: all that they read of it.

    Attributes:
        keys: float32 (1, H, D, N), what prompts look for.
        values: (1, H, D, N), what they take.
        queries: (1, H, D, N), what the image looks for among the prompts, scaled.
    """

    keys: Tensor
    values: Tensor
    queries: Tensor


@dataclass(frozen=True)
class Projection:
    """One of them as an affine map: weight (H·D, C) and bias (H·D, 1), of the image alone or with its positions."""

    weight: Tensor
    bias: Tensor
    heads: int
    placed: bool

    def of(self, image: Tensor, pe: Tensor) -> Tensor:
        """(1, H, D, N), of an image and its positional encoding, both (1, N, C)."""
        projected = self.weight @ (image + pe if self.placed else image).transpose(1, 2) + self.bias
        return projected.unflatten(1, (self.heads, -1))


def of_first_block(transformer: "TwoWayTransformer") -> tuple[Projection, Projection, Projection]:
    """The maps to `Projections`, in its order."""
    first = transformer.layers[0]
    to_image, to_prompt = first.cross_attn_token_to_image, first.cross_attn_image_to_token
    heads = to_image.num_heads
    scale = (to_prompt.internal_dim // heads) ** -0.5

    def affine(layer: nn.Linear, scale: float, *, placed: bool) -> Projection:
        return Projection(layer.weight.detach() * scale, layer.bias.detach()[:, None] * scale, heads, placed)

    return (
        affine(to_image.k_proj, 1, placed=True),
        affine(to_image.v_proj, 1, placed=False),
        affine(to_prompt.q_proj, scale, placed=True),
    )
