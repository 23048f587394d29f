"""The order of refinement: many prompts are decoded one after the other, each with the mask of the one before.

As SamPredictor's iterative use does: each step has all prompts up to there, and as `mask_input` the low-resolution
logits that the step before chose. The answer depends on the picture and the ordered prompts alone.
"""

import hashlib
from dataclasses import replace

import numpy as np

from sam_backend.sam.types import Prompt

MOST_STEPS = 32
"""The prompts of the longest chain's last step come all at once, so that a request has a bounded cost."""


def is_empty(prompt: Prompt) -> bool:
    """Whether the prompt points at nothing: no box, no mask to refine, no positive point."""
    return not len(prompt.boxes) and prompt.mask_input is None and not prompt.point_labels.any()


def steps(prompt: Prompt) -> list[Prompt]:
    """What to decode, in order; each step but the first still lacks its `mask_input`.

    Args:
        prompt: points in the order in which they were asked; a box was asked before them.

    Returns:
        The box alone, or the points up to the first positive one, or (with a `mask_input`) the first point; then each
        further point with all before it; the last step is the prompt itself, but for its `mask_input`.
    """
    count = len(prompt.points)
    counts = list(range(_first(prompt), count))[: MOST_STEPS - 1]
    first, *rest = (_until(prompt, until) for until in [*counts, count])
    return [first, *(replace(step, mask_input=None) for step in rest)]


def key(prompt: Prompt) -> bytes:
    """A digest of all that the decoder is asked."""
    state = hashlib.sha256()
    given = (prompt.points, prompt.point_labels, prompt.boxes, prompt.mask_input)
    for array in given:
        state.update(b"-" if array is None else f"{array.dtype}{array.shape}".encode())
        state.update(b"" if array is None else np.ascontiguousarray(array).data)
    return state.digest()


def _first(prompt: Prompt) -> int:
    """How many points the first step has."""
    if len(prompt.boxes):
        return 0
    return 1 if prompt.mask_input is not None else 1 + int(np.argmax(prompt.point_labels))


def _until(prompt: Prompt, count: int) -> Prompt:
    return replace(prompt, points=prompt.points[:count], point_labels=prompt.point_labels[:count])
