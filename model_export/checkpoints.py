"""Checkpoints: where they lie, what their checksum is, and how their weights get into a model."""

import hashlib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from model_export import download
from model_export.architectures import Architecture
from model_export.errors import CheckpointError, CheckpointFormatError

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

# Trainers like to wrap the weights; these are the keys that the common ones use.
_WRAPPERS = ("model", "state_dict", "model_state_dict")


def locate(architecture: Architecture, checkpoint: Path | None, cache: Path) -> Path:
    """The checkpoint's file: the one that was given, the one in this package, or the published one, downloaded once.

    Raises:
        CheckpointError: there is no such file, or it could not be downloaded.
    """
    path = checkpoint or architecture.weights
    if not isinstance(path, Path):
        return download.fetch(path, cache)
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}.", "Give the path of a .pth or .pt file to --checkpoint.")
    return path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from None


def load(architecture: Architecture, path: Path) -> "Sam":
    """Build the architecture with the checkpoint's weights.

    Nothing in the file is executed, and every weight must be there, with its shape, and no other.

    Raises:
        CheckpointFormatError: the file is truncated, is no checkpoint, or belongs to another architecture.
    """
    weights = _read(path)
    sam = architecture.build()
    try:
        # `assign` takes the tensors as they are, mapped from the file: no second copy of the weights.
        sam.load_state_dict(weights, strict=True, assign=True)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointFormatError(
            f"{path} is not a checkpoint of {architecture.name}: {_first_complaint(error)}.",
            "Check that MODEL is the architecture that the checkpoint was trained with.",
        ) from None
    return sam.float().eval()


def _first_complaint(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[min(1, len(lines) - 1)][:160].rstrip(" .") if lines else type(error).__name__


def _read(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # noqa: BLE001 - a broken pickle may raise anything
        raise CheckpointFormatError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}).",
            "It is truncated, no PyTorch file, or holds more than weights; download it again or save its state_dict.",
        ) from None
    return _unwrap(content, path)


def _unwrap(content: object, path: Path) -> dict[str, Any]:
    if isinstance(content, dict):
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), dict)), content)
        if inner and all(isinstance(name, str) for name in inner):
            return inner
    raise CheckpointFormatError(f"{path} holds no weights.", "Save the model's state_dict with torch.save.")
