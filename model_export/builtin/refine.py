"""Refinement of trained weights: each click is to be obeyed, however many came before it.

The image encoder stays as it is, to the bit. Its prompts are as `step`'s, but for many more clicks after the first
one; and some begin with a region that somebody has, a part of it wrong, and one click on that part.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from model_export.builtin import prompts
from model_export.builtin.losses import prompt_loss
from model_export.builtin.network import build_builtin
from model_export.builtin.run import Run, run_of
from model_export.builtin.samples import Batch
from model_export.builtin.step import Prompts, decode, embed_images, first_prompts, returned

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

    from model_export.builtin.prompts import Mask, Rng

SMALL_FIRST = 0.5
"""How far the choice of objects leans to the small ones: by area to the power of minus this."""

_MOST_CLICKS = 12
_LEARNED = 2
_KEEPS_MASK = 0.85
_CORRECTS = 0.18
_MAGNITUDES = (4.0, 12.0)
_MIDDLE = 0.8
_OBEDIENCE = 0.25
_AROUND = np.ones((9, 9), np.uint8)


def refining_run(checkpoint: Path) -> Run:
    """A run that goes on from trained weights and moves all but the image encoder."""
    weights = build_builtin()
    weights.load_state_dict(torch.load(checkpoint, weights_only=True))
    weights.image_encoder.requires_grad_(requires_grad=False)
    return run_of(weights, copy.deepcopy(weights), refining_loss)


def spoiled(rng: "Rng", truth: "Mask", other: "Mask") -> "Mask":
    """The object as a region that needs a correction: another object too much, or a dab too much or too little."""
    if rng.random() < 0.3 and not (truth & other).any():
        return truth | other
    ys, xs = np.nonzero(cv2.dilate(truth.astype(np.uint8), _AROUND))
    at = int(rng.integers(len(xs)))
    dab = np.zeros(truth.shape, np.uint8)
    cv2.circle(dab, (int(xs[at]), int(ys[at])), int(1 + truth.sum() ** 0.5 * rng.uniform(0.1, 0.6)), 1, -1)
    return truth & (dab == 0) if rng.random() < 0.5 else truth | (dab > 0)


def worth(error: "Mask", x: int, y: int) -> npt.NDArray[np.float32]:
    """What each cell counts once (x, y) was clicked: half for the clicked piece of the error, half for around it."""
    _, pieces = cv2.connectedComponents(error.astype(np.uint8), connectivity=8)
    piece = ((pieces == pieces[y, x]) & error).astype(np.uint8)
    piece[y, x] = 1
    around = cv2.dilate(piece, _AROUND)
    return np.asarray(piece / (2 * piece.sum()) + around / (2 * around.sum()), np.float32)


@dataclass(frozen=True)
class _Clicks:
    """One more click each: `coords` (B, 2) in the input frame, `labels` (B,), their `worth` (B, 1, h, w)."""

    coords: Tensor
    labels: Tensor
    worth: Tensor


def _correct(rng: "Rng", guesses: list["Mask"], truths: list["Mask"]) -> _Clicks:
    made, counts = [], []
    for guess, truth in zip(guesses, truths, strict=True):
        at, label = prompts.corrective_click(rng, guess, truth, _MIDDLE)
        x, y = (int((v + 0.5) / prompts.STEP) for v in at)
        counts.append(worth(truth & ~guess if label else guess & ~truth, x, y))
        made.append((at, label))
    coords, labels = zip(*made, strict=True)
    return _Clicks(torch.tensor(coords), torch.tensor(labels), torch.from_numpy(np.stack(counts))[:, None])


@dataclass(frozen=True)
class _Opening:
    """First prompts: what is asked, the regions (B, 1, h, w) that some of them correct, which do, and the worth."""

    asked: Prompts
    regions: Tensor
    corrects: Tensor
    worth: Tensor


def _open(rng: "Rng", truths: list["Mask"], per_image: int, single: Tensor) -> _Opening:
    """A click or a box each, as in `step`; for some a region instead, with one click on what is wrong with it."""
    asked = first_prompts(rng, truths, single)
    corrects = torch.from_numpy(rng.random(len(truths)) < _CORRECTS)
    others = [truths[i - i % per_image + int(rng.integers(per_image))] for i in range(len(truths))]
    regions = [spoiled(rng, truth, other) for truth, other in zip(truths, others, strict=True)]
    clicks = _correct(rng, regions, truths)
    asked.coords[corrects], asked.labels[corrects] = torch.zeros(2, 2), torch.tensor([0.0, -1.0])
    asked.coords[corrects, 0], asked.labels[corrects, 0] = clicks.coords[corrects], clicks.labels[corrects].float()
    sign = 2 * torch.from_numpy(np.stack(regions)).float()[:, None] - 1
    magnitude = torch.from_numpy(rng.uniform(*_MAGNITUDES, (len(truths), 1, 1, 1))).float()
    return _Opening(asked, sign * magnitude, corrects, clicks.worth * corrects[:, None, None, None])


def _disobedience(logits: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """The cross entropy, weighted by what each cell counts."""
    entropy = F.binary_cross_entropy_with_logits(logits[:, :1], (target > 0.5).float(), reduction="none")
    return _OBEDIENCE * (entropy * counts).sum((1, 2, 3)).mean()


def refining_loss(sam: "Sam", batch: Batch, rng: "Rng") -> Tensor:
    """The loss of one batch: of the first decode, and of the last two after one to twelve corrective clicks.

    All prompts of a batch get as many clicks, more often few than many. A click's worth halves with each one after it.
    """
    embeddings, inside = embed_images(sam, batch.images, batch.sizes)
    per_image = batch.targets.shape[1]
    target, inside = batch.targets.flatten(0, 1)[:, None], inside.repeat_interleave(per_image, 0)
    truths = [mask > 0.5 for mask in target[:, 0].numpy()]
    single = torch.from_numpy(rng.random(len(truths)) < 0.6)
    start = _open(rng, truths, per_image, single)
    single, asked, counts = single & ~start.corrects, start.asked, start.worth
    logits, predicted = decode(sam, embeddings, asked, slice(0, 4), start.regions, start.corrects)
    loss = prompt_loss(logits, predicted, target, inside, single) + _disobedience(logits, target, counts)
    keeps = start.corrects | torch.from_numpy(rng.random(len(truths)) < _KEEPS_MASK)
    clicks = 1 + int(_MOST_CLICKS * rng.random() ** 2)
    for turn in range(clicks):
        shown = returned(logits, predicted, single).detach()
        more = _correct(rng, list(((shown > 0) & (inside > 0))[:, 0].numpy()), truths)
        asked, counts = asked.with_clicks(more.coords, more.labels), (counts + more.worth) / 2
        learned = turn >= clicks - _LEARNED
        with torch.set_grad_enabled(learned):
            logits, predicted = decode(sam, embeddings, asked, slice(0, 1), shown, keeps)
        if learned:
            loss = loss + prompt_loss(logits, predicted, target, inside, torch.zeros_like(single))
            loss = loss + _disobedience(logits, target, counts)
    return loss
