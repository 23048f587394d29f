"""Whether a model's masks are those of another: one asks, and both answer, as the service would."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_export.quantization.pictures import read
from sam_backend.sam import decoder, encoder, geometry, masks
from sam_backend.sam.folder import ModelInfo
from sam_backend.sam.model import CompiledSam, compile_model
from sam_backend.sam.turns import Request
from sam_backend.sam.types import Embedding, Image, Prompt, Size

Bitmap = NDArray[np.bool_]

CLICKS = 8
"""Clicks on each image. The box around each answer is another prompt."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A prompt, and the mask that it was answered with, one bit a pixel."""

    prompt: Prompt
    bits: NDArray[np.uint8]


@dataclass(frozen=True)
class Agreement:
    """How much two models' masks are alike.

    Attributes:
        mean: of the masks' IoUs.
        p5: their 5th percentile: one prompt in twenty does worse.
        prompts: how many there were.
    """

    mean: float
    p5: float
    prompts: int


def load(info: ModelInfo) -> CompiledSam:
    """Both halves, in f32 arithmetic but for what is quantized."""
    return compile_model(info, "CPU", "f32", 0)


def ask(model: CompiledSam, paths: Iterable[Path]) -> list[list[Asked]]:
    """Click at random places of each image, and draw a box around each mask that this gives.

    Args:
        model: the reference.
        paths: images.

    Raises:
        ModelError: OpenVINO failed.
    """
    random = np.random.default_rng(0)
    return [list(_asked(model, read(path), random)) for path in paths]


def compare(model: CompiledSam, paths: Iterable[Path], questions: list[list[Asked]]) -> Agreement:
    """Ask `model` what the reference was asked.

    Raises:
        ModelError: OpenVINO failed.
    """
    ious: list[float] = []
    for path, asked in zip(paths, questions, strict=True):
        image = read(path)
        embedding = encoder.encode(model, image, "", Request(model.encoder_request()))
        ious += [_iou(np.packbits(_answer(model, embedding, one.prompt)), one.bits) for one in asked]
    return Agreement(float(np.mean(ious)), float(np.percentile(ious, 5)), len(ious))


def _asked(model: CompiledSam, image: Image, random: np.random.Generator) -> Iterator[Asked]:
    embedding = encoder.encode(model, image, "", Request(model.encoder_request()))
    height, width = image.original_size
    for point in random.uniform((0, 0), (width, height), (CLICKS, 2)):
        click = Prompt(points=point[None], point_labels=np.ones(1, np.int64))
        bitmap = _answer(model, embedding, click)
        yield Asked(click, np.packbits(bitmap))
        if bitmap.any():
            box = _box(bitmap, image.original_size)
            yield Asked(box, np.packbits(_answer(model, embedding, box)))


def _box(bitmap: Bitmap, size: Size) -> Prompt:
    return Prompt(boxes=geometry.bounds(bitmap, size)[None])


def _answer(model: CompiledSam, embedding: Embedding, prompt: Prompt) -> Bitmap:
    """The mask that the service answers with, at the image's own size."""
    answer = decoder.decode(model, embedding, prompt)
    best = masks.choose(model.info, embedding, answer, prompt)[0]
    return masks.finish(model.info, embedding, answer, best).bitmap


def _iou(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Of two packed masks; 1 when both are empty."""
    union = int(np.bitwise_count(one | other).sum())
    return int(np.bitwise_count(one & other).sum()) / union if union else 1.0
