"""Write the answer: masks become brush regions, regions become one task's prediction.

Label Studio checks none of it, and some mistakes replace the annotator's page by an error: the score of a region must
be a number, the origin one that it knows, the mask of the image's natural size, the RLE not empty.
"""

import logging
import math
import uuid
from collections.abc import Sequence
from typing import Any

from sam_backend.labelstudio import rle
from sam_backend.labelstudio.config import Control, LabelConfig
from sam_backend.labelstudio.prompts import PromptRequest
from sam_backend.sam.types import Mask

logger = logging.getLogger(__name__)


def regions(masks: Sequence[Mask], request: PromptRequest, config: LabelConfig) -> list[dict[str, Any]]:
    """One brush region for each mask that is not empty.

    Args:
        masks: masks at the upright image's size (H, W).
        request: what was asked; its image, label, `item_index` and rotation come back.
        config: the label config of the same request.

    Returns:
        Regions for a prediction's `result`. A label that no brush control of this image offers is left out and logged,
        never replaced by another.
    """
    answer, labels = _answer(request, config)
    return [_region(mask, request, answer, labels) for mask in masks if mask.bitmap.any()]


def prediction(result: Sequence[dict[str, Any]], score: float, model_version: str) -> dict[str, Any]:
    """One task's answer. A score that is not a finite number becomes 0: Label Studio saves nothing with it."""
    return {"result": list(result), "score": _finite(score), "model_version": model_version}


def _region(mask: Mask, request: PromptRequest, answer: Control, labels: list[str]) -> dict[str, Any]:
    height, width = mask.bitmap.shape
    value: dict[str, Any] = {"format": "rle", "rle": rle.encode(mask.bitmap)}
    if labels:
        value[answer.kind] = labels
    region = {
        "id": uuid.uuid4().hex,
        "type": answer.kind,
        "from_name": answer.name,
        "to_name": answer.to_name,
        "origin": "manual",
        "score": _finite(mask.score),
        "original_width": width,
        "original_height": height,
        "image_rotation": request.image_rotation,
        "value": value,
    }
    return region if request.item_index is None else region | {"item_index": request.item_index}


def _answer(request: PromptRequest, config: LabelConfig) -> tuple[Control, list[str]]:
    """The control that offers most of the prompt's labels, the first of equals, and the labels it offers."""
    offers = [(control, _offered(request, control)) for control in config.answers_for(request.control.to_name)]
    answer, labels = max(offers, key=lambda offer: len(offer[1]))
    if len(labels) < len(request.labels):
        logger.warning(
            "The control %r does not offer all of the labels %r; the region goes without.", answer.name, request.labels
        )
    return answer, labels


def _offered(request: PromptRequest, answer: Control) -> list[str]:
    """The prompt's labels as the answering control stores them: the same name, else the same value."""
    names = []
    for name in request.labels:
        asked = request.control.label(name)
        found = answer.label(name) or (answer.label(asked.value) if asked else None)
        if found:
            names.append(found.stored)
        elif answer.labels_from and answer.labels_from == request.control.labels_from:
            names.append(name)
    return names


def _finite(score: float) -> float:
    return float(score) if math.isfinite(score) else 0.0
