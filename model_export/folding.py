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

Where many prompts meet the same image, now or one after the other, the first block is cheaper still in
segment-anything's own order: the image's projections are made once, and each prompt's share is D wide
instead of C.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model_export.projections import Projections

if TYPE_CHECKING:
    from segment_anything.modeling import MaskDecoder, TwoWayTransformer
    from segment_anything.modeling.common import LayerNorm2d
    from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock

    Attend = Callable[[Attention, Tensor, Tensor, Tensor], Tensor]
    _Upscaling = tuple[nn.ConvTranspose2d, LayerNorm2d, nn.Module, nn.ConvTranspose2d, nn.Module]

_READ = 5
"""Tokens that are read after the transformer: the IoU's and the four masks'."""


def transform(
    transformer: "TwoWayTransformer",
    image: Tensor,
    pe: Tensor,
    tokens: Tensor,
    projections: Projections | None = None,
) -> tuple[Tensor, Tensor]:
    """What `transformer` answers.

    Args:
        transformer: segment-anything's.
        image: float32 (M, N, C), M 1 or B.
        pe: float32 (1, N, C), the image's positional encoding.
        tokens: float32 (B, T, C), the prompts; the first five are the IoU's and the four masks'.
        projections: of this image, where they are at hand.

    Returns:
        The first five tokens (B, 5, C), which alone are read afterwards, and the image (B, N, C), both processed.
    """
    first, *others = transformer.layers
    if projections is None:
        queries, image = _block(first, tokens, image, tokens, pe, _prompt_to_image, _image_to_prompt)
    else:
        ways = _to_projected(projections), _from_projected(projections)
        queries, image = _block(first, tokens, image, tokens, pe, *ways)
    for layer in others:
        queries, image = _block(layer, queries, image, tokens, pe, _prompt_to_image, _image_to_prompt)
    last = transformer.final_attn_token_to_image
    queries, tokens = queries[:, :_READ], tokens[:, :_READ]
    queries = queries + _prompt_to_image(last, queries + tokens, image + pe, image)
    return transformer.norm_final_attn(queries), image


def _block(
    layer: "TwoWayAttentionBlock",
    queries: Tensor,
    image: Tensor,
    tokens: Tensor,
    pe: Tensor,
    to_image: "Attend",
    to_prompt: "Attend",
) -> tuple[Tensor, Tensor]:
    if layer.skip_first_layer_pe:
        queries = layer.self_attn(queries, queries, queries)
    else:
        placed = queries + tokens
        queries = queries + layer.self_attn(placed, placed, queries)
    queries = layer.norm1(queries)
    keys = image + pe  # both attentions of the block read it
    queries = layer.norm2(queries + to_image(layer.cross_attn_token_to_image, queries + tokens, keys, image))
    queries = layer.norm3(queries + layer.mlp(queries))
    taken = to_prompt(layer.cross_attn_image_to_token, keys, queries + tokens, queries)
    return queries, layer.norm4(image + taken)


def _to_projected(image: Projections) -> "Attend":
    """As `_prompt_to_image`, in segment-anything's own order, the image's side being done."""

    def attend(attention: "Attention", queries: Tensor, _keys: Tensor, _image: Tensor) -> Tensor:
        queries = _scaled(_per_head(attention.q_proj, queries, attention.num_heads))
        shares, total = _unnormalized(queries @ image.keys)
        taken = shares @ image.values.transpose(2, 3) / total
        return attention.out_proj(taken.transpose(1, 2).flatten(2))

    return attend


def _from_projected(image: Projections) -> "Attend":
    """As `_image_to_prompt`, the logits in segment-anything's own order, the image's side being done."""

    def attend(attention: "Attention", _places: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        logits = _per_head(attention.k_proj, keys, attention.num_heads) @ image.queries
        return _given(attention, logits, values)

    return attend


def _prompt_to_image(attention: "Attention", queries: Tensor, keys: Tensor, image: Tensor) -> Tensor:
    """Queries (B, T, C) attend to keys (M, N, C), and take of the image (M, N, C): (B, T, C)."""
    b, t, c = queries.shape
    heads = attention.num_heads
    queries = _scaled(_per_head(attention.q_proj, queries, heads))
    logits = _logits(queries @ _by_head(attention.k_proj.weight, heads), keys)
    shares, total = _unnormalized(logits)
    taken = ((shares @ image) / total).reshape(b, heads, t, c)
    out = taken @ _by_head(attention.v_proj.weight, heads).transpose(1, 2)
    return attention.out_proj(out.transpose(1, 2).reshape(b, t, -1) + attention.v_proj.bias)


def _image_to_prompt(attention: "Attention", places: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The image's places (M, N, C) attend to keys (B, T, C), and take of values (B, T, C): (B, N, C)."""
    b, t, _ = keys.shape
    heads = attention.num_heads
    keys = _scaled(_per_head(attention.k_proj, keys, heads))
    offsets = keys @ attention.q_proj.bias.reshape(heads, -1, 1)
    logits = _logits(keys @ _by_head(attention.q_proj.weight, heads), places)
    return _given(attention, logits.reshape(b, heads, t, -1) + offsets, values)


def _given(attention: "Attention", logits: Tensor, values: Tensor) -> Tensor:
    """What image tokens take of values (B, T, C), by logits (B, H, T, N): (B, N, C)."""
    heads = attention.num_heads
    # Image tokens come last, so that the softmax over few prompt tokens runs along many image tokens.
    shares = logits.softmax(2)
    out = attention.out_proj.weight.reshape(values.shape[2], heads, -1).permute(1, 2, 0)
    taken = _per_head(attention.v_proj, values, heads) @ out + attention.out_proj.bias / heads
    return shares.flatten(1, 2).transpose(1, 2) @ taken.flatten(1, 2)


def _unnormalized(logits: Tensor) -> tuple[Tensor, Tensor]:
    """A softmax over the last dimension, and what it must still be divided by.

    Dividing afterwards what was summed by it spares a pass over B·H·T·N shares.
    """
    shares = (logits - logits.detach().amax(-1, keepdim=True)).exp()
    return shares, shares.sum(-1, keepdim=True)


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


def mask_weights(decoder: "MaskDecoder", tokens: Tensor, masks: slice = slice(0, 4)) -> Tensor:
    """What the upscaled image is multiplied with, (B, M, C/8), for the tokens (B, M, C) of these of the four masks."""
    heads = decoder.output_hypernetworks_mlps[masks]
    return torch.stack([head(tokens[:, index]) for index, head in enumerate(heads)], dim=1)


def draw(upscaling: nn.Sequential, weights: Tensor, image: Tensor) -> Tensor:
    """Upscale the image and multiply it with each mask's weights, as `MaskDecoder.predict_masks` does in its end.

    Args:
        upscaling: the decoder's `output_upscaling`.
        weights: (B, M, C/8).
        image: (B, h, w, C), processed, or some rows and columns of it: each token makes pixels of its own.

    Returns:
        Logits (B, M, 4h, 4w).
    """
    (height, width), count = image.shape[1:3], weights.shape[1]
    pixels = weights @ _upscaled(upscaling, image.flatten(1, 2)).transpose(1, 2)
    pixels = pixels.reshape(-1, count, height, width, 2, 2, 2, 2)
    return pixels.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(-1, count, 4 * height, 4 * width)


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
