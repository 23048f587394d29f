"""segment-anything's own `SamPredictor` and `SamAutomaticMaskGenerator`, with stand-ins for torchvision.

There is no build of torchvision for every torch; the two classes need four of its functions, which are written anew.
"""

import contextlib
import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import PIL.Image
import torch
from torch import Tensor

from model_export.without_torchvision import import_segment_anything


def predictor_class() -> Any:
    """The real `SamPredictor`."""
    return _imported("segment_anything.predictor").SamPredictor


def generator_class() -> Any:
    """The real `SamAutomaticMaskGenerator`."""
    return _imported("segment_anything.automatic_mask_generator").SamAutomaticMaskGenerator


def _imported(module: str) -> Any:
    import_segment_anything()
    with _stand_ins():
        return importlib.import_module(module)


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    functions = {
        "torchvision": {},
        "torchvision.transforms": {},
        "torchvision.transforms.functional": {"to_pil_image": PIL.Image.fromarray, "resize": _resize},
        "torchvision.ops": {},
        "torchvision.ops.boxes": {"batched_nms": _batched_nms, "box_area": _box_area},
    }
    before = {name: sys.modules.get(name) for name in functions}
    for name, contents in functions.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(contents)
    try:
        yield
    finally:
        for name, found in before.items():
            del sys.modules[name]
            if found is not None:
                sys.modules[name] = found


def _resize(image: PIL.Image.Image, size: tuple[int, int]) -> PIL.Image.Image:
    """What torchvision's `resize` does with a PIL image, a size of two numbers and no further argument."""
    return image.resize(size[::-1], PIL.Image.Resampling.BILINEAR)


def _box_area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _batched_nms(boxes: Tensor, scores: Tensor, categories: Tensor, iou_threshold: float) -> Tensor:
    """torchvision's, for boxes of one category, which is all that the generator has."""
    assert not categories.any()
    order = scores.argsort(descending=True, stable=True).tolist()
    areas = _box_area(boxes)
    kept: list[int] = []
    for index in order:
        others = boxes[kept]
        low = torch.maximum(boxes[index, :2], others[:, :2])
        high = torch.minimum(boxes[index, 2:], others[:, 2:])
        shared = (high - low).clamp(min=0).prod(1)
        if not (shared / (areas[index] + areas[kept] - shared) > iou_threshold).any():
            kept.append(index)
    return torch.tensor(kept, dtype=torch.int64)
