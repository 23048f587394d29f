"""segment-anything's mask decoder computed in a cheaper order, for training on a CPU.

The image has hundreds of tokens, a prompt has a few. So each projection of the image's side is moved over to the
prompt's: (q W_k) against the raw image tokens instead of q against their keys, values projected after the weighted
sum. Same parameters, same result up to rounding (a test compares the two), about half the time; and all prompts of
several images go in one batch, which `MaskDecoder.predict_masks` can't do.
"""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from segment_anything.modeling import MaskDecoder
    from segment_anything.modeling.common import LayerNorm2d
    from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock

    _Upscaling = tuple[nn.ConvTranspose2d, LayerNorm2d, nn.Module, nn.ConvTranspose2d, nn.Module]


def _split(x: Tensor, heads: int) -> Tensor:
    b, n, c = x.shape
    return x.view(b, n, heads, c // heads).transpose(1, 2)


def _tokens_to_image(attention: "Attention", q: Tensor, keys: Tensor, pe: Tensor) -> Tensor:
    """Queries (B, T, C) attend to keys + pe and take keys. The key bias shifts a whole row: the softmax drops it."""
    heads = attention.num_heads
    b, t, c = q.shape
    q = _split(attention.q_proj(q), heads)
    d = q.shape[-1]
    rows = torch.einsum("bhtd,hdc->bhtc", q, attention.k_proj.weight.view(heads, d, c)).reshape(b, heads * t, c)
    rows = rows * d**-0.5
    share = (rows @ keys.transpose(1, 2) + rows @ pe.t()).softmax(-1)
    taken = (share @ keys).view(b, heads, t, c)
    out = torch.einsum("bhtc,hdc->bhtd", taken, attention.v_proj.weight.view(heads, d, c))
    out = out + attention.v_proj.bias.view(1, heads, 1, d)
    return attention.out_proj(out.transpose(1, 2).reshape(b, t, heads * d))


def _image_to_tokens(attention: "Attention", keys: Tensor, pe: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The image's keys + pe (B, N, C) attend to the tokens k, and take v."""
    heads = attention.num_heads
    b, t, c = k.shape
    n = keys.shape[1]
    k, v = _split(attention.k_proj(k), heads), _split(attention.v_proj(v), heads)
    d = k.shape[-1]
    cols = torch.einsum("bhtd,hdc->bhtc", k, attention.q_proj.weight.view(heads, d, c)).reshape(b, heads * t, c)
    bias = torch.einsum("bhtd,hd->bht", k, attention.q_proj.bias.view(heads, d)).reshape(b, 1, heads * t)
    cols = cols.transpose(1, 2)
    logits = (keys @ cols + (pe @ cols + bias)) * d**-0.5
    share = logits.view(b, n, heads, t).softmax(-1).view(b, n, heads * t)
    values = torch.einsum("bhtd,chd->bhtc", v, attention.out_proj.weight.view(c, heads, d))
    return share @ values.reshape(b, heads * t, c) + attention.out_proj.bias


def _block(
    layer: "TwoWayAttentionBlock", q: Tensor, keys: Tensor, token_pe: Tensor, pe: Tensor
) -> tuple[Tensor, Tensor]:
    if layer.skip_first_layer_pe:
        q = layer.self_attn(q, q, q)
    else:
        at = q + token_pe
        q = q + layer.self_attn(at, at, q)
    q = layer.norm1(q)
    q = layer.norm2(q + _tokens_to_image(layer.cross_attn_token_to_image, q + token_pe, keys, pe))
    q = layer.norm3(q + layer.mlp(q))
    keys = layer.norm4(keys + _image_to_tokens(layer.cross_attn_image_to_token, keys, pe, q + token_pe, q))
    return q, keys


def _upscale(layers: nn.Sequential, x: Tensor) -> Tensor:
    """(B, N, C) to (B, N, 16, C2): with kernel = stride each token gives its own 4x4 pixels. ReLU is built in."""
    first, norm, _, second, _ = cast("_Upscaling", tuple(layers))
    b, n, c = x.shape
    c1, c2 = first.weight.shape[1], second.weight.shape[1]
    x = F.linear(x, first.weight.permute(2, 3, 1, 0).reshape(4 * c1, c), cast("Tensor", first.bias).repeat(4)).view(
        b, n, 4, c1
    )
    x = F.relu(F.layer_norm(x, (c1,), norm.weight, norm.bias, norm.eps), inplace=True)
    x = F.linear(x, second.weight.permute(2, 3, 1, 0).reshape(4 * c2, c1), cast("Tensor", second.bias).repeat(4))
    return F.relu(x, inplace=True).view(b, n, 16, c2)


def predict_masks(
    decoder: "MaskDecoder", embeddings: Tensor, pe: Tensor, sparse: Tensor, dense: Tensor, masks: slice = slice(0, 4)
) -> tuple[Tensor, Tensor]:
    """Masks and predicted IoU of many prompts on several images.

    Args:
        decoder: segment-anything's, its activation ReLU.
        embeddings: (I, C, e, e), one per image.
        pe: (1, C, e, e), `PromptEncoder.get_dense_pe()`.
        sparse: (B, T, C) prompt tokens, B a multiple of I, image by image.
        dense: (B, C, e, e), or anything that broadcasts to it.
        masks: which of the four masks to compute.

    Returns:
        low_res_masks (B, M, 4e, 4e) and iou_predictions (B, 4).
    """
    b, e = sparse.shape[0], embeddings.shape[-1]
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])[None].expand(b, -1, -1)
    tokens = torch.cat([own, sparse], 1)
    keys = (embeddings.repeat_interleave(b // embeddings.shape[0], 0) + dense).flatten(2).transpose(1, 2)
    keys, pe = keys.contiguous(), pe[0].flatten(1).t().contiguous()
    transformer, q = decoder.transformer, tokens
    for layer in transformer.layers:
        q, keys = _block(layer, q, keys, tokens, pe)
    q = transformer.norm_final_attn(q + _tokens_to_image(transformer.final_attn_token_to_image, q + tokens, keys, pe))
    pixels = _upscale(decoder.output_upscaling, keys)
    heads = list(enumerate(decoder.output_hypernetworks_mlps))[masks]
    weights = torch.stack([head(q[:, 1 + i]) for i, head in heads], 2)
    grid = pixels.flatten(1, 2) @ weights
    grid = grid.view(b, e, e, 2, 2, 2, 2, -1).permute(0, 7, 1, 3, 5, 2, 4, 6)
    return grid.reshape(b, -1, 4 * e, 4 * e), decoder.iou_prediction_head(q[:, 0])
