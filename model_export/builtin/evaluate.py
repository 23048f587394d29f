"""How good the model is, in torch: IoU at full resolution on held-out scenes, by the field's click protocol."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from model_export.builtin import prompts
from model_export.builtin.network import CHECKPOINT, IMAGE_SIZE, build_builtin
from model_export.builtin.samples import fit_frame
from model_export.builtin.scenes import HELD_OUT_SEED, draw_scene
from model_export.builtin.step import Prompts, decode, embed_images, returned

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

Mask = npt.NDArray[np.bool_]
_MOST_OBJECTS = 4


@dataclass(frozen=True)
class Scores:
    """IoU of every object, by prompt."""

    click: list[float]
    best_of_three: list[float]
    three_clicks: list[float]
    three_clicks_chained: list[float]
    box: list[float]

    def line(self) -> str:
        """The means in one line."""
        parts = ((name, float(np.mean(values))) for name, values in vars(self).items() if values)
        return "  ".join(f"{name} {value:.3f}" for name, value in parts)


class Embedded:
    """One picture, embedded, answering prompts in its own pixels; masks at its own resolution."""

    def __init__(self, sam: "Sam", rgb: npt.NDArray[np.uint8]) -> None:
        size = sam.image_encoder.img_size
        fitted = fit_frame(rgb, size)
        frame = np.zeros((1, 3, size, size), np.uint8)
        frame[0, :, : fitted.shape[0], : fitted.shape[1]] = fitted.transpose(2, 0, 1)
        self.sam, self.filled, self.original = sam, fitted.shape[:2], rgb.shape[:2]
        self.embedding, _ = embed_images(sam, torch.from_numpy(frame), torch.tensor([self.filled]))

    def ask(self, coords: Tensor, labels: Tensor, mask_input: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Low-res logits (B, 4, h, w) and predicted IoU (B, 4); `coords` (B, T, 2) in the picture's pixels."""
        scale = torch.tensor([self.filled[1] / self.original[1], self.filled[0] / self.original[0]])
        has_mask = None if mask_input is None else torch.ones(len(coords), dtype=torch.bool)
        return decode(self.sam, self.embedding, Prompts(coords * scale, labels), slice(0, 4), mask_input, has_mask)

    def masks(self, low_res: Tensor) -> npt.NDArray[np.bool_]:
        """(B, 1, h, w) logits to (B, H, W) masks, upscaled as `Sam.postprocess_masks` does."""
        size = self.sam.image_encoder.img_size
        full = F.interpolate(low_res, (size, size), mode="bilinear", align_corners=False)
        full = full[..., : self.filled[0], : self.filled[1]]
        return np.asarray(F.interpolate(full, self.original, mode="bilinear", align_corners=False)[:, 0] > 0)


def iou(a: Mask, b: Mask) -> float:
    """Intersection over union."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def _ious(masks: npt.NDArray[np.bool_], truths: list[Mask]) -> list[float]:
    return [iou(mask, truth) for mask, truth in zip(masks, truths, strict=True)]


def _clicks(picture: Embedded, truths: list[Mask], scores: Scores, *, chained: bool) -> None:
    coords = torch.tensor([[prompts.middle(t), (0, 0)] for t in truths], dtype=torch.float32)
    labels = torch.tensor([[1.0, -1.0]] * len(truths))
    single, shown = torch.ones(len(truths), dtype=torch.bool), None
    for turn in range(3):
        logits, predicted = picture.ask(coords, labels, shown if chained else None)
        shown = returned(logits, predicted, single) if turn == 0 else logits[:, :1]
        masks = picture.masks(shown)
        if turn == 0 and not chained:
            scores.click.extend(_ious(masks, truths))
            three = [_ious(picture.masks(logits[:, i : i + 1]), truths) for i in (1, 2, 3)]
            scores.best_of_three.extend(np.max(three, 0).tolist())
        made = [prompts.next_click(mask, truth) for mask, truth in zip(masks, truths, strict=True)]
        coords = torch.cat([torch.tensor([[at] for at, _ in made], dtype=torch.float32), coords], 1)
        labels = torch.cat([torch.tensor([[float(label)] for _, label in made]), labels], 1)
    (scores.three_clicks_chained if chained else scores.three_clicks).extend(_ious(masks, truths))


def _boxes(picture: Embedded, truths: list[Mask], scores: Scores) -> None:
    corners = []
    for truth in truths:
        ys, xs = np.nonzero(truth)
        corners.append([[xs.min(), ys.min()], [xs.max() + 1, ys.max() + 1]])
    labels = torch.tensor([[2.0, 3.0]] * len(truths))
    logits, _ = picture.ask(torch.tensor(np.array(corners), dtype=torch.float32), labels)
    scores.box.extend(_ious(picture.masks(logits[:, :1]), truths))


@torch.no_grad()
def held_out_scores(sam: "Sam", scenes: int) -> Scores:
    """Scores on the first `scenes` held-out scenes, at most four objects of each."""
    scores = Scores([], [], [], [], [])
    for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + scenes):
        scene = draw_scene(seed)
        chosen = np.random.default_rng(seed).permutation(len(scene.names))[:_MOST_OBJECTS]
        truths = [scene.labels == n + 1 for n in chosen]
        picture = Embedded(sam, scene.rgb)
        _clicks(picture, truths, scores, chained=False)
        _clicks(picture, truths, scores, chained=True)
        _boxes(picture, truths, scores)
    return scores


def main() -> None:
    """`python -m model_export.builtin.evaluate`."""
    parser = argparse.ArgumentParser(prog="python -m model_export.builtin.evaluate", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--image-size", type=int, default=IMAGE_SIZE)
    options = parser.parse_args()
    sam = build_builtin(options.image_size).eval()
    sam.load_state_dict(torch.load(options.checkpoint, weights_only=True))
    print(held_out_scores(sam, options.scenes).line())


if __name__ == "__main__":
    main()
