"""How far our masks are those of segment-anything in torch, f32: the built-in model's trained weights, 60 prompts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import ours, peers
from benchmarks.official import predictor_class
from benchmarks.prompting import iou
from model_export.builtin.prompts import middle
from model_export.builtin.scenes import HELD_OUT_SEED
from model_export.builtin.scenes.scene import Scene, draw_scene
from sam_backend.labelstudio.images import digest
from sam_backend.sam.types import Image, Prompt
from sam_backend.segmenter import Segmenter

Bitmap = NDArray[np.bool_]
PROMPTS, PER_SCENE = 60, 6


def agreement(folder: Path, precision: str, prompts: int = PROMPTS) -> float:
    """Mean IoU of what a model folder answers in this precision and what torch answers, one click or one box each.

    Both answer by themselves: where one click leaves a choice of masks, each takes the best by its own prediction.
    """
    segmenter = Segmenter(ours.settings(folder, precision, SAM_CROP_BELOW=0, SAM_CHAIN=False))
    predictor = predictor_class()(peers.sam("builtin", None))
    found: list[float] = []
    for number in range(1000):
        scene = draw_scene(HELD_OUT_SEED + number)
        predictor.set_image(scene.rgb)
        image = Image(scene.rgb, digest(scene.rgb))
        for prompt in _prompts(scene):
            found.append(iou(_ours(segmenter, image, prompt), _theirs(predictor, prompt)))
            if len(found) == prompts:
                return float(np.mean(found))
    raise AssertionError("the scenes are empty")


def _prompts(scene: Scene) -> Iterator[Prompt]:
    for name in range(1, 1 + min(len(scene.names), PER_SCENE // 2)):
        truth = scene.labels == name
        yield Prompt(points=np.array([middle(truth)], np.float64), point_labels=np.ones(1, np.int64))
        ys, xs = np.nonzero(truth)
        yield Prompt(boxes=np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float64))


def _ours(segmenter: Segmenter, image: Image, prompt: Prompt) -> Bitmap:
    masks = segmenter.segment(image, prompt)
    return masks[0].bitmap if masks else np.zeros(image.original_size, np.bool_)


def _theirs(predictor: Any, prompt: Prompt) -> Bitmap:
    if len(prompt.boxes):
        return np.asarray(predictor.predict(box=prompt.boxes[0], multimask_output=False)[0][0])
    masks, scores, _ = predictor.predict(prompt.points, prompt.point_labels, multimask_output=True)
    return np.asarray(masks[scores.argmax()])
