"""Which weights an export takes, and the torch model that holds them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from model_export import checkpoints, random_weights
from model_export.architectures import CACHE, Architecture

if TYPE_CHECKING:
    from segment_anything.modeling import Sam


@dataclass(frozen=True)
class Weights:
    """A checkpoint's weights, or random ones.

    Attributes:
        checkpoint: a file of the user's, or None for the architecture's own.
        seed: draw random weights from it, and read no file.
        cache: the folder of downloaded checkpoints.
    """

    checkpoint: Path | None = None
    seed: int | None = None
    cache: Path = CACHE


def locate(architecture: Architecture, weights: Weights) -> Weights:
    """The same weights with their file at hand: found, or downloaded.

    Raises:
        CheckpointError: there is no such file, or it could not be downloaded.
    """
    if weights.seed is not None:
        return weights
    return replace(weights, checkpoint=checkpoints.locate(architecture, weights.checkpoint, weights.cache))


def build(architecture: Architecture, weights: Weights) -> tuple["Sam", str]:
    """The torch model, and the SHA-256 that names its weights: of the file, or of themselves where there is none.

    Raises:
        CheckpointError: the checkpoint cannot be used.
    """
    if weights.seed is not None:
        sam = random_weights.build(architecture, weights.seed)
        return sam, random_weights.digest(sam)
    path = checkpoints.locate(architecture, weights.checkpoint, weights.cache)
    return checkpoints.load(architecture, path), checkpoints.sha256_of(path)
