"""Prompts through the backend's own path: `SamBackend.predict` with what Label Studio sends, its brush RLE decoded."""

import base64
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from sam_backend import services, settings
from sam_backend.backend import SamBackend
from sam_backend.labelstudio import rle

Bitmap = NDArray[np.bool_]
Click = tuple[tuple[float, float], int]

CONFIG = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Object"/></BrushLabels>
  <KeyPointLabels name="keypoint" toName="image" smart="true"><Label value="Object"/></KeyPointLabels>
  <RectangleLabels name="rectangle" toName="image" smart="true"><Label value="Object"/></RectangleLabels>
</View>"""


class Annotator:
    """Somebody in front of one picture."""

    def __init__(self, shared: services.Services, rgb: NDArray[np.uint8]) -> None:
        self.size = rgb.shape[:2]
        self._backend = SamBackend(label_config=CONFIG, shared=shared)
        _, data = cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))
        self._task = {"id": 1, "data": {"image": "data:image/png;base64," + base64.b64encode(data.tobytes()).decode()}}

    def clicks(self, clicks: Sequence[Click]) -> Bitmap:
        """The mask, bool (H, W), after all these clicks: pixel (x, y), whose center is meant, and label 1 or 0."""
        return self._ask([self._keypoint(at, label) for at, label in clicks])

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Bitmap:
        """The mask for a rectangle from corner to corner, in pixels."""
        x, y, right, bottom = (100 * v / side for v, side in zip((x0, y0, x1, y1), self.size[::-1] * 2, strict=True))
        value = {"x": x, "y": y, "width": right - x, "height": bottom - y, "rotation": 0, "rectanglelabels": ["Object"]}
        return self._ask([self._region("rectangle", "rectanglelabels", value)])

    def _keypoint(self, at: tuple[float, float], label: int) -> dict[str, object]:
        x, y = (100 * (v + 0.5) / side for v, side in zip(at, self.size[::-1], strict=True))
        value = {"x": x, "y": y, "width": 0.2, "labels": ["Object"], "keypointlabels": ["Object"]}
        return self._region("keypoint", "keypointlabels", value) | {"is_positive": bool(label)}

    def _region(self, control: str, kind: str, value: dict[str, object]) -> dict[str, object]:
        size = {"original_width": self.size[1], "original_height": self.size[0], "image_rotation": 0}
        return size | {"id": "prompt", "from_name": control, "to_name": "image", "type": kind, "value": value}

    def _ask(self, regions: list[dict[str, object]]) -> Bitmap:
        [prediction] = self._backend.predict([self._task], {"result": regions})
        bitmaps = [rle.decode(region["value"]["rle"], self.size) for region in prediction["result"]]
        return np.any(bitmaps, axis=0) if bitmaps else np.zeros(self.size, bool)


def start() -> services.Services:
    """The backend's parts, as the environment's SAM_ settings say; the built-in model without them."""
    shared = services.build(settings.load())
    shared.segmenter.load()
    return shared


def iou(a: Bitmap, b: Bitmap) -> float:
    """Intersection over union."""
    return float((a & b).sum() / max((a | b).sum(), 1))
