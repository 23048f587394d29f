"""From a scene of the bank to a training sample: another crop, turn, color and light each time, and targets to find."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from model_export.builtin.bank import load_scene, scene_files

Rng = np.random.Generator
Image = npt.NDArray[Any]  # uint8
_SMALLEST = 0.002


@dataclass(frozen=True)
class Batch:
    """I images with P prompts' objects each.

    `images` uint8 (I, 3, S, S), `sizes` int64 (I, 2) the height and width that the picture fills, the rest being
    padding; `targets` float32 (I, P, S / 2, S / 2), the covered share of each low-res pixel.
    """

    images: Tensor
    sizes: Tensor
    targets: Tensor


def _crop(rng: Rng, rgb: Image, labels: Image) -> tuple[Image, Image]:
    if rng.random() < 0.5:
        return rgb, labels
    h, w = labels.shape
    ch, cw = (int(side * rng.uniform(0.55, 1)) for side in (h, w))
    y, x = int(rng.integers(h - ch + 1)), int(rng.integers(w - cw + 1))
    return rgb[y : y + ch, x : x + cw], labels[y : y + ch, x : x + cw]


def _turn(rng: Rng, rgb: Image, labels: Image) -> tuple[Image, Image]:
    quarter, mirror = int(rng.integers(4)), rng.random() < 0.5
    rgb, labels = np.rot90(rgb, quarter), np.rot90(labels, quarter)
    return (rgb[:, ::-1], labels[:, ::-1]) if mirror else (rgb, labels)


def _recolor(rng: Rng, rgb: Image) -> Image:
    if rng.random() < 0.5:
        rgb = rgb[..., rng.permutation(3)]
    if rng.random() < 0.1:
        rgb = np.repeat(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    levels = np.linspace(0, 1, 256)
    if rng.random() < 0.1:
        levels = 1 - levels
    levels = levels ** np.exp(rng.uniform(-0.4, 0.4)) * rng.uniform(0.75, 1.15) + rng.uniform(-0.08, 0.08)
    rgb = cv2.LUT(np.ascontiguousarray(rgb), np.clip(levels * 255, 0, 255).astype(np.uint8))
    if rng.random() < 0.15:
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.4, 1.0))
    if rng.random() < 0.2:
        grain = rng.standard_normal(rgb.shape, dtype=np.float32) * rng.uniform(2, 10)
        rgb = np.clip(rgb + grain, 0, 255).astype(np.uint8)
    return rgb


def fit_frame(rgb: Image, size: int) -> Image:
    """The picture with its longer side `size` pixels, as `SamPredictor` resizes it."""
    h, w = rgb.shape[:2]
    scale = size / max(h, w)
    new = (max(int(w * scale + 0.5), 1), max(int(h * scale + 0.5), 1))
    return cv2.resize(rgb, new, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _target(mask: Image, size: int, filled: tuple[int, int]) -> npt.NDArray[np.float32]:
    out = np.zeros((size // 2, size // 2), np.float32)
    h, w = (filled[0] + 1) // 2, (filled[1] + 1) // 2
    out[:h, :w] = cv2.resize(mask.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
    return out


def _choose(rng: Rng, areas: npt.NDArray[np.int64], prompts: int, lean: float) -> npt.NDArray[np.int64]:
    """Indices (prompts,) of objects of these areas: one after the other, or, with a `lean`, rather small ones."""
    if lean:
        weights = areas**-lean
        return rng.choice(len(areas), prompts, p=weights / weights.sum())
    return np.concatenate([rng.permutation(len(areas)) for _ in range(prompts // len(areas) + 1)])[:prompts]


def make_sample(
    rng: Rng, path: Path, size: int, prompts: int, lean: float = 0.0
) -> tuple[Image, tuple[int, int], npt.NDArray[np.float32]] | None:
    """One image (3, S, S), what it fills of the frame, and `prompts` targets; None if no object is left in the crop."""
    rgb, labels = _turn(rng, *_crop(rng, *load_scene(path)))
    counts = np.bincount(labels.ravel(), minlength=2)
    present = np.flatnonzero(counts >= _SMALLEST * labels.size)
    present = present[present > 0]
    if not len(present):
        return None
    chosen = present[_choose(rng, counts[present], prompts, lean)]
    rgb = fit_frame(_recolor(rng, rgb), size)
    filled = (rgb.shape[0], rgb.shape[1])
    frame = np.zeros((3, size, size), np.uint8)
    frame[:, : filled[0], : filled[1]] = rgb.transpose(2, 0, 1)
    made = {int(n): _target((labels == n).astype(np.uint8), size, filled) for n in np.unique(chosen)}
    return frame, filled, np.stack([made[int(n)] for n in chosen])


class Samples(IterableDataset[Batch]):
    """Endless batches from the bank, which may still grow; `lean` is how far they lean to small objects."""

    def __init__(
        self, bank: Path, size: int, images: int, prompts: int, seed: int | tuple[int, ...], lean: float = 0.0
    ) -> None:
        self.bank, self.size, self.images, self.prompts, self.seed = bank, size, images, prompts, seed
        self.lean = lean

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng(self.seed)
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        while True:
            for chunk in self._rounds(rng, scene_files(self.bank)):
                frames, sizes, targets = zip(*chunk, strict=True)
                yield Batch(
                    torch.from_numpy(np.stack(frames)), torch.tensor(sizes), torch.from_numpy(np.stack(targets))
                )

    def _rounds(
        self, rng: Rng, files: list[Path]
    ) -> Iterator[list[tuple[Image, tuple[int, int], npt.NDArray[np.float32]]]]:
        chunk = []
        for index in rng.permutation(len(files)):
            sample = make_sample(rng, files[index], self.size, self.prompts, self.lean)
            if sample is not None:
                chunk.append(sample)
            if len(chunk) == self.images:
                yield chunk
                chunk = []
