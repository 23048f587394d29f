"""Prompts through the backend's own path: `SamBackend.predict` with what Label Studio sends, its brush RLE decoded."""

import base64
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from sam_backend import services, settings
from sam_backend.backend import SamBackend
from sam_backend.labelstudio import rle

Bitmap = NDArray[np.bool_]
Click = tuple[tuple[float, float], int]
TASKS = itertools.count(1)

CONFIG = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Object"/></BrushLabels>
  <KeyPointLabels name="keypoint" toName="image" smart="true"><Label value="Object"/></KeyPointLabels>
  <RectangleLabels name="rectangle" toName="image" smart="true"><Label value="Object"/></RectangleLabels>
</View>"""


class Annotator:
    """Somebody in front of one picture, who accepts nothing, so that every click comes with those before it.

    Each object is asked for on a task of its own, so that nothing is joined with another's prompts.
    """

    def __init__(self, shared: services.Services, rgb: NDArray[np.uint8]) -> None:
        self.size = rgb.shape[:2]
        self._backend = SamBackend(label_config=CONFIG, shared=shared)
        _, data = cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))
        self._image = "data:image/png;base64," + base64.b64encode(data.tobytes()).decode()
        self._clicked: list[Click] = []
        self._task = next(TASKS)

    def clicks(self, clicks: Sequence[Click]) -> Bitmap:
        """The mask, bool (H, W), after all these clicks: pixel (x, y), whose center is meant, and label 1 or 0.

        It is another object's unless there is one click more than the last time.
        """
        if not self._clicked or list(clicks[:-1]) != self._clicked:
            self._task = next(TASKS)
        self._clicked = list(clicks)
        return self.clicks_after_box(clicks)

    def clicks_after_box(self, clicks: Sequence[Click]) -> Bitmap:
        """The mask, bool (H, W), after the rectangle that was drawn last and all these clicks."""
        return self._ask([self._keypoint(f"click {n}", at, label) for n, (at, label) in enumerate(clicks)])

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Bitmap:
        """The mask for another object's rectangle from corner to corner, in pixels."""
        self._task, self._clicked = next(TASKS), []
        x, y, right, bottom = (100 * v / side for v, side in zip((x0, y0, x1, y1), self.size[::-1] * 2, strict=True))
        value = {"x": x, "y": y, "width": right - x, "height": bottom - y, "rotation": 0, "rectanglelabels": ["Object"]}
        return self._ask([self._region("box", "rectangle", "rectanglelabels", value)])

    def _keypoint(self, name: str, at: tuple[float, float], label: int) -> dict[str, object]:
        x, y = (100 * (v + 0.5) / side for v, side in zip(at, self.size[::-1], strict=True))
        value = {"x": x, "y": y, "width": 0.2, "labels": ["Object"], "keypointlabels": ["Object"]}
        return self._region(name, "keypoint", "keypointlabels", value) | {"is_positive": bool(label)}

    def _region(self, name: str, control: str, kind: str, value: dict[str, object]) -> dict[str, object]:
        size = {"original_width": self.size[1], "original_height": self.size[0], "image_rotation": 0}
        return size | {"id": name, "from_name": control, "to_name": "image", "type": kind, "value": value}

    def _ask(self, regions: list[dict[str, object]]) -> Bitmap:
        task = {"id": self._task, "data": {"image": self._image}}
        [prediction] = self._backend.predict([task], {"result": regions})
        bitmaps = [rle.decode(region["value"]["rle"], self.size) for region in prediction["result"]]
        return np.any(bitmaps, axis=0) if bitmaps else np.zeros(self.size, bool)


def start(**changes: Any) -> services.Services:
    """The backend's parts, as the environment's SAM_ settings say but for changes; the built-in model without them."""
    shared = services.build(settings.load().model_copy(update=changes))
    shared.segmenter.load()
    return shared


def iou(a: Bitmap, b: Bitmap) -> float:
    """Intersection over union."""
    return float((a & b).sum() / max((a | b).sum(), 1))
