"""One training step: first clicks and boxes, then clicks on what came out wrong."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from model_export.builtin import decoding, prompts
from model_export.builtin.losses import prompt_loss
from model_export.builtin.samples import Batch

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

    from model_export.builtin.prompts import Rng

_EXTRA_CLICKS = (0.45, 0.45, 0.10)
_MASK_INPUT = 0.35


@dataclass(frozen=True)
class Prompts:
    """B prompts of T tokens: `coords` float32 (B, T, 2) in the input frame, `labels` (B, T) as segment-anything's."""

    coords: Tensor
    labels: Tensor

    def with_clicks(self, coords: Tensor, labels: Tensor) -> "Prompts":
        """One more click (B, 2), (B,) on each."""
        return Prompts(
            torch.cat([self.coords, coords[:, None]], 1), torch.cat([self.labels, labels[:, None].float()], 1)
        )


def embed_images(sam: "Sam", images: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """uint8 (I, 3, S, S) to embeddings (I, C, e, e), and the map (I, 1, S / 2, S / 2) of what isn't padding."""
    side = torch.arange(images.shape[-1])
    inside = (side < sizes[:, :1])[:, :, None] & (side < sizes[:, 1:])[:, None, :]
    pixels = (images.float() - sam.pixel_mean) / sam.pixel_std * inside[:, None]
    weight = sam.image_encoder.stem.weight
    pixels = pixels.to(weight.dtype, memory_format=torch.channels_last)
    return sam.image_encoder(pixels), inside[:, None, ::2, ::2].float()


def embed_prompts(sam: "Sam", asked: Prompts, mask_input: Tensor | None, has_mask: Tensor | None) -> tuple[Tensor, ...]:
    """Sparse (B, T, C) and dense embeddings, as `PromptEncoder` makes them, boxes given as labels 2 and 3."""
    encoder = sam.prompt_encoder
    at = encoder.pe_layer.forward_with_coords(asked.coords + 0.5, encoder.input_image_size)
    kinds = torch.stack([e.weight[0] for e in (encoder.not_a_point_embed, *encoder.point_embeddings)])
    labels = asked.labels.long()
    sparse = torch.where((labels >= 0)[..., None], at, 0.0) + kinds[labels + 1]
    none = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    if mask_input is None or has_mask is None:
        return sparse, none
    dense = none.repeat(len(labels), 1, *encoder.image_embedding_size)
    dense[has_mask] = encoder.mask_downscaling(mask_input[has_mask])
    return sparse, dense


def decode(
    sam: "Sam", embeddings: Tensor, asked: Prompts, masks: slice, mask_input: Tensor | None, has_mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Logits (B, M, 2e, 2e) float32 and predicted IoU (B, 4)."""
    sparse, dense = embed_prompts(sam, asked, mask_input, has_mask)
    kind = embeddings.dtype
    pe = sam.prompt_encoder.get_dense_pe()
    logits, predicted = decoding.predict_masks(
        sam.mask_decoder, embeddings, pe.to(kind), sparse.to(kind), dense.to(kind), masks
    )
    return logits.float(), predicted.float()


def first_prompts(rng: "Rng", truths: list[prompts.Mask], single: Tensor) -> Prompts:
    """A click and a padding token where `single`, a box elsewhere."""
    coords, labels = np.zeros((len(truths), 2, 2), np.float32), np.full((len(truths), 2), -1, np.float32)
    for i, truth in enumerate(truths):
        if single[i]:
            coords[i, 0], labels[i, 0] = prompts.first_click(rng, truth), 1
        else:
            coords[i], labels[i] = np.reshape(prompts.drawn_box(rng, truth), (2, 2)), (2, 3)
    return Prompts(torch.from_numpy(coords), torch.from_numpy(labels))


def returned(logits: Tensor, predicted: Tensor, single: Tensor) -> Tensor:
    """The mask (B, 1, h, w) that is returned: for one click the best of 1 to 3 by predicted IoU, else mask 0."""
    if logits.shape[1] == 1:
        return logits
    choice = torch.where(single, 1 + predicted[:, 1:].argmax(1), 0)
    return logits[torch.arange(len(choice)), choice][:, None]


def _more(rng: "Rng", asked: Prompts, shown: Tensor, truths: list[prompts.Mask], inside: Tensor) -> Prompts:
    guesses = ((shown > 0) & (inside > 0))[:, 0].numpy()
    made = [prompts.corrective_click(rng, guess, truth) for guess, truth in zip(guesses, truths, strict=True)]
    coords, labels = zip(*made, strict=True)
    return asked.with_clicks(torch.tensor(coords), torch.tensor(labels))


def training_loss(sam: "Sam", batch: Batch, rng: "Rng") -> Tensor:
    """The loss of one batch: a first decode, and one after one to three corrective clicks."""
    embeddings, inside = embed_images(sam, batch.images, batch.sizes)
    per_image = batch.targets.shape[1]
    target, inside = batch.targets.flatten(0, 1)[:, None], inside.repeat_interleave(per_image, 0)
    truths = [mask > 0.5 for mask in target[:, 0].numpy()]
    single = torch.from_numpy(rng.random(len(truths)) < 0.6)
    asked = first_prompts(rng, truths, single)
    logits, predicted = decode(sam, embeddings, asked, slice(0, 4), None, None)
    loss = prompt_loss(logits, predicted, target, inside, single)
    never = torch.zeros_like(single)
    extra = int(rng.choice(3, p=_EXTRA_CLICKS)) + 1
    for turn in range(extra):
        shown = returned(logits, predicted, single).detach()
        asked = _more(rng, asked, shown, truths, inside)
        has_mask = torch.from_numpy(rng.random(len(truths)) < _MASK_INPUT)
        with torch.set_grad_enabled(turn == extra - 1):
            logits, predicted = decode(sam, embeddings, asked, slice(0, 1), shown, has_mask)
    return loss + prompt_loss(logits, predicted, target, inside, never)
