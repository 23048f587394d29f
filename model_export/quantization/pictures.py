"""The user's images: which of them can be read, which calibrate, and which judge."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_export.errors import PicturesError
from sam_backend.errors import ImageError
from sam_backend.labelstudio import images
from sam_backend.prelabel.images import SUFFIXES
from sam_backend.sam import geometry
from sam_backend.sam.types import Image

# The files are the user's own: no limit but memory's.
_LIMITS = images.Limits(max_bytes=2**40, max_pixels=10**9, timeout=0)
_MOST_JUDGES = 12
_FEW = 8  # of fewer than these, none can be spared


@dataclass(frozen=True)
class Pictures:
    """Paths of readable images.

    Attributes:
        calibration: those that the quantizer sees.
        judges: those that the agreement is measured on.
        apart: whether no image is in both.
    """

    calibration: list[Path]
    judges: list[Path]
    apart: bool


def read(path: Path) -> Image:
    """The image, as the service reads it.

    Raises:
        ImageError: it is none that the service reads.
        OSError: the file cannot be read.
    """
    return images.decode(path.read_bytes(), _LIMITS)


def encoder_inputs(path: Path, image_size: int) -> dict[str, np.ndarray]:
    """The image as the encoder's inputs, `image` and `input_size`; see `modules.Encoder`."""
    canvas, input_size = geometry.resize_and_pad(read(path).rgb, image_size)
    return {"image": canvas, "input_size": np.array(input_size, np.int64)}


def choose(folder: Path, limit: int, complain: Callable[[str], None]) -> Pictures:
    """Draw images from a folder and its sub-folders: at most `limit` to calibrate with, and some to judge.

    The draw is the same each time, and spreads over the folder, where neighbors are often frames of one film.

    Args:
        folder: where the images are.
        limit: most images to calibrate with.
        complain: told of each image that cannot be read.

    Raises:
        PicturesError: no image there can be read.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    random.Random(0).shuffle(found)  # noqa: S311 - hides no secret
    readable: list[Path] = []
    for path in found:
        if len(readable) == limit + _MOST_JUDGES:
            break
        if _is_readable(path, complain):
            readable.append(path)
    if not readable:
        raise PicturesError(f"There is no readable image in {folder}.", f"Endings that count: {' '.join(SUFFIXES)}.")
    return _split(readable, limit)


def _is_readable(path: Path, complain: Callable[[str], None]) -> bool:
    try:
        read(path)
    except (ImageError, OSError) as error:
        complain(f"{path} is left out: {getattr(error, 'message', error)}")
        return False
    return True


def _split(readable: list[Path], limit: int) -> Pictures:
    if len(readable) < _FEW:
        return Pictures(readable[:limit], readable, apart=False)
    judges = min(_MOST_JUDGES, len(readable) // 4)
    return Pictures(readable[judges:][:limit], readable[:judges], apart=True)
