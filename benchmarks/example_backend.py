"""The peer over HTTP: what label-studio-ml-backend's `segment_anything_model` example does with a click.

    gunicorn --workers 1 --threads 8 'benchmarks.example_backend:serve("vit_b", 0, "/tmp/files")'

Written anew from its behavior: the image comes once to a file of its own and is read by OpenCV; one `SamPredictor` for
all, with a cache of one image by its address; coordinates cut to whole pixels; a single mask for every prompt; the
SDK's `mask2rle`; Flask's JSON. It is the request's way that is compared, so the rest of its server is left out.
LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY say where images come from, as they do for the example.
"""

import hashlib
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import flask
import numpy as np
import requests
from label_studio_tools.core.label_config import parse_config
from numpy.typing import NDArray

Region = Mapping[str, Any]


@dataclass(frozen=True)
class Files:
    """Images by address, fetched once each and kept in a folder."""

    folder: Path
    host: str
    token: str

    def path(self, address: str) -> Path:
        """The file of an address."""
        file = (
            self.folder / f"{hashlib.md5(address.encode(), usedforsecurity=False).hexdigest()[:8]}-{Path(address).name}"
        )
        if not file.exists():
            headers = {"Authorization": f"Token {self.token}"}
            answer = requests.get(self.host + address, headers=headers, timeout=60)
            answer.raise_for_status()
            file.write_bytes(answer.content)
        return file


class Example:
    """One predictor for all, and the one image that it holds."""

    def __init__(self, predictor: Any, files: Files) -> None:
        self._predictor = predictor
        self._files = files
        self._address: str | None = None

    def predict(self, document: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The predictions that answer a request: none where there is no click."""
        context = (document.get("params") or {}).get("context") or {}
        regions = context.get("result") or []
        if not regions:
            return []
        name, to_name, key = _brush(document["label_config"])
        self._show(document["tasks"][0]["data"][key])
        mask, score = self._mask(regions)
        about = {
            "from_name": name,
            "to_name": to_name,
            "original_width": mask.shape[1],
            "original_height": mask.shape[0],
        }
        label = regions[-1]["value"][regions[-1]["type"]][0]
        return [_prediction(about, mask, score, label)]

    def _show(self, address: str) -> None:
        if address != self._address:
            picture = cv2.imread(str(self._files.path(address)))
            assert picture is not None, address
            self._predictor.set_image(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
            self._address = address

    def _mask(self, regions: list[Region]) -> tuple[NDArray[np.uint8], float]:
        points, labels, box = _prompt(regions)
        masks, scores, _ = self._predictor.predict(
            point_coords=np.array(points, np.float32) if points else None,
            point_labels=np.array(labels, np.float32) if labels else None,
            box=None if box is None else np.array(box, np.float32),
            multimask_output=False,
        )
        return masks[0].astype(np.uint8), float(scores[0])


def _brush(label_config: str) -> tuple[str, str, str]:
    """The brush control's name, its image's, and the key of the task's data that has the address."""
    for name, control in parse_config(label_config).items():
        if control["type"] == "BrushLabels":
            return name, control["to_name"][0], control["inputs"][0]["value"]
    raise ValueError("the label config has no BrushLabels")


def _prompt(regions: list[Region]) -> tuple[list[list[int]], list[int], list[int] | None]:
    points, labels, box = [], [], None
    for region in regions:
        value, width, height = region["value"], region["original_width"], region["original_height"]
        x, y = value["x"] * width / 100, value["y"] * height / 100
        if region["type"] == "keypointlabels":
            points.append([int(x), int(y)])
            labels.append(int(region.get("is_positive", 0)))
        elif region["type"] == "rectanglelabels":
            box = [int(x), int(y), int(x + value["width"] * width / 100), int(y + value["height"] * height / 100)]
    return points, labels, box


def _prediction(about: dict[str, Any], mask: NDArray[np.uint8], score: float, label: str) -> dict[str, Any]:
    from label_studio_sdk.converter.brush import mask2rle

    value = {"format": "rle", "rle": mask2rle(mask * 255), "brushlabels": [label]}
    region = about | {"id": str(uuid.uuid4())[:4], "image_rotation": 0, "value": value, "score": score}
    region |= {"type": "brushlabels", "readonly": False}
    return {"result": [region], "model_version": "example", "score": score}


def create(predictor: Any, files: Files) -> flask.Flask:
    """The server around a predictor."""
    app = flask.Flask(__name__)
    example = Example(predictor, files)

    @app.post("/predict")
    def predict() -> flask.Response:
        return flask.jsonify({"results": example.predict(flask.request.json or {})})

    @app.get("/health")
    def health() -> flask.Response:
        return flask.jsonify({"status": "UP"})

    return app


def serve(architecture: str, seed: int | None, folder: str) -> flask.Flask:
    """The server with a model's weights, in torch f32; it keeps images in `folder`."""
    from benchmarks import peers
    from benchmarks.official import predictor_class

    files = Files(Path(folder), os.environ["LABEL_STUDIO_URL"], os.environ["LABEL_STUDIO_API_KEY"])
    return create(predictor_class()(peers.sam(architecture, seed)), files)
