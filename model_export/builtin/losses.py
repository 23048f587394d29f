"""What training minimizes: 20 x focal + dice on masks, squared error on the predicted IoU."""

import torch
from torch import Tensor
from torch.nn import functional as F


def mask_loss(logits: Tensor, target: Tensor, inside: Tensor) -> Tensor:
    """20 x focal (gamma 2) + dice.

    Args:
        logits: (B, M, h, w).
        target: (B, 1, h, w), the covered share of each low-res pixel, in [0, 1].
        inside: (B, 1, h, w), 0 on the padding, which doesn't count.

    Returns:
        (B, M).
    """
    probability = logits.sigmoid()
    miss = (probability - target).abs()
    # softplus(x) - x * target is the cross entropy; its minimum at soft targets isn't 0, but it doesn't move.
    entropy = F.softplus(logits) - logits * target
    focal = (entropy * miss * miss * inside).sum((-2, -1)) / inside.sum((-2, -1))
    probability = probability * inside
    overlap = (probability * target).sum((-2, -1))
    dice = 1 - (2 * overlap + 1) / (probability.sum((-2, -1)) + target.sum((-2, -1)) + 1)
    return 20 * focal + dice


def iou(logits: Tensor, target: Tensor, inside: Tensor) -> Tensor:
    """IoU (B, M) of the masks at threshold 0 with the target at one half."""
    with torch.no_grad():
        mask, truth = (logits > 0) & (inside > 0), target > 0.5
        both = (mask & truth).sum((-2, -1)).float()
        either = (mask | truth).sum((-2, -1)).float()
        return both / either.clamp(min=1)


def prompt_loss(logits: Tensor, predicted: Tensor, target: Tensor, inside: Tensor, single: Tensor) -> Tensor:
    """The mean loss of a decode.

    Mask 0 answers every prompt; masks 1 to 3 answer a single click, and the best of them is trained there, with a
    little on the others so that none dies.

    Args:
        logits: (B, M, h, w), M = 4, or 1 where no prompt is a single click.
        predicted: (B, 4), predicted IoU.
        target: as in `mask_loss`.
        inside: as in `mask_loss`.
        single: bool (B,), the prompts that are one click alone.
    """
    losses = mask_loss(logits, target, inside)
    error = (predicted[:, : logits.shape[1]] - iou(logits, target, inside)) ** 2
    loss = torch.where(single, 0.4, 1.0) * losses[:, 0] + error[:, 0]
    if logits.shape[1] > 1:
        three = losses[:, 1:]
        best = 0.9 * three.amin(1) + 0.1 * three.mean(1) + 2 * error[:, 1:].mean(1)
        loss = loss + torch.where(single, best, 0.0)
    return loss.mean()
