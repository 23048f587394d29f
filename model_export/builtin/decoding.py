"""segment-anything's mask decoder for training: all prompts of several images in one batch.

`MaskDecoder.predict_masks` takes one image at a time, and projects its tokens in every attention; see `folding`.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from model_export import folding

if TYPE_CHECKING:
    from segment_anything.modeling import MaskDecoder


def predict_masks(
    decoder: "MaskDecoder", embeddings: Tensor, pe: Tensor, sparse: Tensor, dense: Tensor, masks: slice = slice(0, 4)
) -> tuple[Tensor, Tensor]:
    """Masks and predicted IoU of many prompts on several images.

    Args:
        decoder: segment-anything's.
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
    image = (embeddings.repeat_interleave(b // embeddings.shape[0], 0) + dense).flatten(2).transpose(1, 2).contiguous()
    places = pe.flatten(2).transpose(1, 2).contiguous()
    tokens, image = folding.transform(decoder.transformer, image, places, tokens)
    weights = folding.mask_weights(decoder, tokens[:, 1:][:, masks], masks)
    logits = folding.draw(decoder.output_upscaling, weights, image.unflatten(1, (e, e)))
    return logits, decoder.iou_prediction_head(tokens[:, 0])
