"""segment-anything's mask decoder in a cheaper order: no projection ever meets the image's tokens.

The image has thousands of tokens N, the prompt has a few, T. Attention between the two projects both sides to H heads
of D dimensions; here the image's projections are moved over to the prompt's side, where they cost next to nothing. The
parameters are segment-anything's, and so is the result, up to rounding. In each head, with x a prompt token, y and p an
image token and its position (rows), W and b the weights and biases of a projection (x W + b):

Prompt to image, logits: `q (y Wk + p Wk + bk)ᵀ = (q Wkᵀ) (y + p)ᵀ + q bkᵀ`. The last term is the same for all image
tokens, so the softmax drops it. Result: `Σ share (y Wv + bv) = (Σ share y) Wv + bv`, since shares sum to 1.

Image to prompt, logits: `((y + p) Wq + bq) kᵀ = (y + p) (k Wqᵀ)ᵀ + bq kᵀ`. Result, with Wo the head's rows of the
output projection: `(Σ share v) Wo = Σ share (v Wo)`; its bias, divided by H, joins each head's `v Wo`.

So rows of C = `q Wkᵀ`, `k Wqᵀ` and `v Wo`, H·T of them, are all that the image's tokens are multiplied with. Before
the first attention from image to prompt nothing of the image depends on the prompt: there it has batch M = 1 and serves
all prompts. (Where a mask is given with each prompt, M = B.)
"""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from segment_anything.modeling import MaskDecoder, TwoWayTransformer
    from segment_anything.modeling.common import LayerNorm2d
    from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock

    _Upscaling = tuple[nn.ConvTranspose2d, LayerNorm2d, nn.Module, nn.ConvTranspose2d, nn.Module]


def transform(transformer: "TwoWayTransformer", image: Tensor, pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """What `transformer` answers.

    Args:
        transformer: segment-anything's.
        image: float32 (M, N, C), M 1 or B.
        pe: float32 (1, N, C), the image's positional encoding.
        tokens: float32 (B, T, C), the prompts.

    Returns:
        The tokens (B, T, C) and the image (B, N, C), both processed.
    """
    queries = tokens
    for layer in transformer.layers:
        queries, image = _block(layer, queries, image, tokens, pe)
    last = transformer.final_attn_token_to_image
    queries = queries + _prompt_to_image(last, queries + tokens, image + pe, image)
    return transformer.norm_final_attn(queries), image


def _block(
    layer: "TwoWayAttentionBlock", queries: Tensor, image: Tensor, tokens: Tensor, pe: Tensor
) -> tuple[Tensor, Tensor]:
    if layer.skip_first_layer_pe:
        queries = layer.self_attn(queries, queries, queries)
    else:
        placed = queries + tokens
        queries = queries + layer.self_attn(placed, placed, queries)
    queries = layer.norm1(queries)
    keys = image + pe  # both attentions of the block read it
    queries = layer.norm2(queries + _prompt_to_image(layer.cross_attn_token_to_image, queries + tokens, keys, image))
    queries = layer.norm3(queries + layer.mlp(queries))
    taken = _image_to_prompt(layer.cross_attn_image_to_token, keys, queries + tokens, queries)
    return queries, layer.norm4(image + taken)


def _prompt_to_image(attention: "Attention", queries: Tensor, keys: Tensor, image: Tensor) -> Tensor:
    """Queries (B, T, C) attend to keys (M, N, C), and take of the image (M, N, C): (B, T, C)."""
    b, t, c = queries.shape
    heads = attention.num_heads
    queries = _scaled(_per_head(attention.q_proj, queries, heads))
    logits = _logits(queries @ _by_head(attention.k_proj.weight, heads), keys)
    # Dividing by the sum afterwards spares a pass over B·H·T·N shares.
    shares = (logits - logits.detach().amax(-1, keepdim=True)).exp()
    taken = ((shares @ image) / shares.sum(-1, keepdim=True)).reshape(b, heads, t, c)
    out = taken @ _by_head(attention.v_proj.weight, heads).transpose(1, 2)
    return attention.out_proj(out.transpose(1, 2).reshape(b, t, -1) + attention.v_proj.bias)


def _image_to_prompt(attention: "Attention", places: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The image's places (M, N, C) attend to keys (B, T, C), and take of values (B, T, C): (B, N, C)."""
    b, t, c = keys.shape
    heads = attention.num_heads
    keys = _scaled(_per_head(attention.k_proj, keys, heads))
    offsets = keys @ attention.q_proj.bias.reshape(heads, -1, 1)
    logits = _logits(keys @ _by_head(attention.q_proj.weight, heads), places)
    # Image tokens come last, so that the softmax over few prompt tokens runs along many image tokens.
    shares = (logits.reshape(b, heads, t, -1) + offsets).softmax(2)
    out = attention.out_proj.weight.reshape(c, heads, -1).permute(1, 2, 0)
    taken = _per_head(attention.v_proj, values, heads) @ out + attention.out_proj.bias / heads
    return shares.flatten(1, 2).transpose(1, 2) @ taken.flatten(1, 2)


def _logits(rows: Tensor, keys: Tensor) -> Tensor:
    """Rows (B, H, T, C) against keys (M, N, C): (M, B/M·H·T, N), one product for all prompts of an image."""
    return rows.reshape(keys.shape[0], -1, keys.shape[-1]) @ keys.transpose(1, 2)


def _per_head(projection: nn.Module, tokens: Tensor, heads: int) -> Tensor:
    """Tokens (B, T, C), projected: (B, H, T, D)."""
    projected = projection(tokens)
    return projected.reshape(*projected.shape[:2], heads, -1).transpose(1, 2)


def _scaled(tokens: Tensor) -> Tensor:
    """Divided by the root of their dimensions, as logits are."""
    return tokens * tokens.shape[-1] ** -0.5


def _by_head(weight: Tensor, heads: int) -> Tensor:
    """A projection's weight, (H, D, C)."""
    return weight.reshape(heads, -1, weight.shape[-1])


def draw(decoder: "MaskDecoder", tokens: Tensor, image: Tensor, masks: slice = slice(0, 4)) -> Tensor:
    """Upscale the image and multiply it with each mask's token, as `MaskDecoder.predict_masks` does in its end.

    Args:
        decoder: segment-anything's.
        tokens: (B, T, C), processed; 1 to 4 are the masks'.
        image: (B, h, w, C), processed.
        masks: which of the four to draw.

    Returns:
        Logits (B, M, 4h, 4w).
    """
    _, height, width, _ = image.shape
    heads = list(enumerate(decoder.output_hypernetworks_mlps))[masks]
    weights = torch.stack([head(tokens[:, 1 + index]) for index, head in heads], dim=1)
    pixels = weights @ _upscaled(decoder.output_upscaling, image.flatten(1, 2)).transpose(1, 2)
    pixels = pixels.reshape(-1, len(heads), height, width, 2, 2, 2, 2)
    return pixels.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(-1, len(heads), 4 * height, 4 * width)


def _upscaled(layers: nn.Sequential, image: Tensor) -> Tensor:
    """(B, N, C) to (B, 16N, C/8): with kernel = stride, each token makes 2x2 of its own, and each of these again."""
    first, norm, act, second, last = cast("_Upscaling", tuple(layers))
    fine = F.layer_norm(_spread(first, image), norm.weight.shape, norm.weight, norm.bias, norm.eps)
    return last(_spread(second, act(fine)))


def _spread(layer: nn.ConvTranspose2d, image: Tensor) -> Tensor:
    """(B, N, C) to (B, 4N, C'), rows then columns within each place."""
    weight = layer.weight.permute(2, 3, 1, 0).reshape(-1, layer.weight.shape[0])
    spread = F.linear(image, weight, cast("Tensor", layer.bias).repeat(4))
    return spread.reshape(image.shape[0], -1, layer.weight.shape[1])
