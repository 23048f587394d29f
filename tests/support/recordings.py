"""What Label Studio 1.23 sent, and a stage on which its prompts make sense.

Each file of `tests/data/recordings` is one request: case, method, path, headers and body. Who recorded them clicked on
pictures of that time; these here have objects where those clicks point.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.support import scenes
from tests.support.image_host import ImageHost
from tests.support.scenes import Bitmap, Scene

FOLDER = Path(__file__).parent.parent / "data" / "recordings"

PLAIN = scenes.draw(1200, 800, scenes.STAGE)
TURNED = scenes.draw(800, 1200, scenes.CORNER, seed=1)
PAGE = scenes.draw(640, 480, scenes.CENTER, seed=2)
_FILES = {
    "/data/upload/1/176057e3-plain_1200x800.png": scenes.png(PLAIN.rgb),
    "/data/upload/6/3e60cda9-plain_1200x800.png": scenes.png(PLAIN.rgb),
    "/data/upload/1/86f2232b-exif6_1200x800.jpg": scenes.jpeg(TURNED.rgb, 6),
    "/data/upload/6/ec50c8a1-exif6_1200x800.jpg": scenes.jpeg(TURNED.rgb, 6),
    "/data/local-files/?d=sub/page0_640x480.png": scenes.png(PAGE.rgb),
}


@dataclass(frozen=True)
class Recording:
    """One recorded request."""

    name: str
    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any] | None

    def send(self, url: str, timeout: float = 60) -> requests.Response:
        """Send it to the backend at `url`, as it was sent then."""
        headers = {name: value for name, value in self.headers.items() if name not in ("Host", "Content-Length")}
        return requests.request(self.method, url + self.path, headers=headers, json=self.body, timeout=timeout)


def names() -> list[str]:
    """All recordings, by file name without its ending."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


STRANGE = {"hello": "world"}
"""What the one who recorded had typed as extra params. It names no parameter of ours, so it is refused."""


def read(name: str) -> Recording:
    """One recording, without its strange extra params."""
    document = json.loads((FOLDER / f"{name}.json").read_text())
    body = document["body"]
    if body and body.get("extra_params") == STRANGE:
        body["extra_params"] = None
    return Recording(name, document["method"], document["path"], document["headers"], body)


def serve(host: ImageHost) -> None:
    """Put the pictures where the recordings look for them."""
    for path, body in _FILES.items():
        host.put(path, body)


def scene(recording: Recording) -> Scene:
    """The picture that a recorded click is on."""
    width = prompts(recording)[-1]["original_width"]
    return {1200: PLAIN, 800: TURNED, 640: PAGE}[width]


def prompts(recording: Recording) -> list[dict[str, Any]]:
    """The regions of a recorded click, oldest first; none when a task was opened."""
    body = recording.body or {}
    context = (body.get("params") or {}).get("context") or {}
    return list(context.get("result", []))


def keypoint(x: float, y: float, *, positive: bool = True, **more: Any) -> dict[str, Any]:
    """A smart keypoint at (x, y) percent, as it was recorded."""
    [region] = prompts(read("A1_keypoint_positive__predict"))
    return region | {"value": region["value"] | {"x": x, "y": y}, "is_positive": positive, **more}


def rectangle(x: float, y: float, width: float, height: float) -> dict[str, Any]:
    """A rectangle in percent, as it was recorded."""
    [region] = prompts(read("C1_smart_rectangle__predict"))
    return region | {"value": region["value"] | {"x": x, "y": y, "width": width, "height": height}}


def ask(address: str, size: tuple[int, int], *regions: dict[str, Any], project: str = "1.1") -> dict[str, Any]:
    """The body of a click, as it was recorded, with these prompts on the image of `size` (H, W) at `address`."""
    body = read("A1_keypoint_positive__predict").body
    assert body is not None
    body["project"] = project
    body["tasks"][0]["data"] = {"image": address}
    sized = {"original_height": size[0], "original_width": size[1]}
    body["params"]["context"]["result"] = [region | sized for region in regions]
    return body


def answered(response: requests.Response) -> list[dict[str, Any]]:
    """The regions of a click's answer, which must be one."""
    assert response.status_code == 200, response.text
    [result] = response.json()["results"]
    return list(result["result"])


def bitmap(region: dict[str, Any]) -> Bitmap:
    """A brush region's mask, as Label Studio's own SDK decodes it."""
    from label_studio_sdk.converter.brush import decode_rle

    flat = decode_rle(region["value"]["rle"])
    painted = flat.reshape(region["original_height"], region["original_width"], 4)
    assert set(painted.ravel().tolist()) <= {0, 255}
    return painted[..., 3] > 0
