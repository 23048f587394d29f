"""The built-in model on photographs that scikit-image ships, through the backend's own path, with pictures of it all.

    python benchmarks/photographs.py
    python benchmarks/photographs.py --pictures docs/images --json photographs.json

`coins` is measured: one click in the middle of each of its 24 coins. The truth is scikit-image's own way with this
picture, a watershed of the Sobel gradient from what is certainly ground (below 30) and certainly coin (above 150),
opened with a disk of 4 pixels and made convex, as coins are. The other photographs have no truth; look at them.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data, filters, measure, morphology, segmentation

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.prompting import Annotator, Bitmap, Click, iou, start
from model_export.builtin.prompts import middle

Rgb = NDArray[np.uint8]
Box = tuple[int, int, int, int]
SMALLEST_COIN = 400
MASK = (255, 40, 120)
POSITIVE, NEGATIVE = (40, 220, 60), (255, 60, 40)


@dataclass(frozen=True)
class Prompt:
    """Clicks or a box on one photograph."""

    photograph: str
    clicks: tuple[Click, ...] = ()
    box: Box | None = None


PROMPTS = (
    Prompt("rocket", clicks=(((322, 200), 1),)),
    Prompt("astronaut", clicks=(((220, 120), 1),)),
    Prompt("astronaut", box=(55, 0, 455, 511)),
    Prompt("chelsea", clicks=(((175, 100), 1),)),
    Prompt("chelsea", clicks=(((230, 180), 1),)),
    Prompt("coffee", clicks=(((285, 205), 1),)),
    Prompt("coffee", box=(75, 10, 480, 395)),
    Prompt("camera", clicks=(((200, 250), 1),)),
    Prompt("camera", clicks=(((200, 250), 1), ((330, 120), 1))),
    Prompt("horse", clicks=(((200, 150), 1),)),
    Prompt("moon", clicks=(((121, 86), 1),)),
    Prompt("cell", clicks=(((443, 392), 1),)),
)


def main() -> None:
    options = _options()
    shared = start()
    coins = color(data.coins())
    truths = coin_truths()
    annotator = Annotator(shared, coins)
    places = [middle(truth) for truth in truths]
    masks = [annotator.clicks([(at, 1)]) for at in places]
    scores = [iou(mask, truth) for mask, truth in zip(masks, truths, strict=True)]
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "model_version": shared.segmenter.model_version,
        "coins": len(scores),
        "mean_iou": float(np.mean(scores)),
        "lowest_iou": float(np.min(scores)),
    }
    print(json.dumps(report, indent=1))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
        _save(options.pictures / "coins.png", _shown(coins, masks, [(at, 1) for at in places], None))
        _save(options.pictures / "photographs.png", _sheet([_answer(shared, prompt) for prompt in PROMPTS]))
    shared.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw prompts and masks there")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def color(image: NDArray[np.generic]) -> Rgb:
    """Any of scikit-image's pictures as uint8 (H, W, 3)."""
    levels = np.asarray(image * np.uint8(255) if image.dtype == bool else image, np.uint8)
    return np.repeat(levels[..., None], 3, axis=2) if levels.ndim == 2 else levels[..., :3]


def coin_truths() -> list[Bitmap]:
    """The 24 coins."""
    image = data.coins()
    markers = np.where(image > 150, 2, np.where(image < 30, 1, 0))
    found = segmentation.watershed(filters.sobel(image), markers) == 2
    found = morphology.opening(ndimage.binary_fill_holes(found), morphology.disk(4))
    labels = measure.label(found)
    coins = [labels == region.label for region in measure.regionprops(labels) if region.area >= SMALLEST_COIN]
    assert len(coins) == 24
    return [morphology.convex_hull_image(coin) for coin in coins]


def _answer(shared: object, prompt: Prompt) -> Rgb:
    image = color(getattr(data, prompt.photograph)())
    annotator = Annotator(shared, image)
    mask = annotator.box(*prompt.box) if prompt.box else annotator.clicks(prompt.clicks)
    return _shown(image, [mask], list(prompt.clicks), prompt.box)


def _shown(image: Rgb, masks: list[Bitmap], clicks: list[Click], box: Box | None) -> Rgb:
    """The picture under its masks, their outlines and the prompts."""
    out = image.astype(np.float32)
    for mask in masks:
        out[mask] = 0.55 * out[mask] + 0.45 * np.array(MASK, np.float32)
    drawn = out.astype(np.uint8)
    for mask in masks:
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, outlines, -1, MASK, 1, cv2.LINE_AA)
    radius = max(round(max(image.shape[:2]) / 130), 2)
    for (x, y), label in clicks:
        cv2.circle(drawn, (int(x), int(y)), radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(drawn, (int(x), int(y)), radius, POSITIVE if label else NEGATIVE, -1, cv2.LINE_AA)
    if box:
        cv2.rectangle(drawn, box[:2], box[2:], POSITIVE, 2, cv2.LINE_AA)
    return drawn


def _sheet(pictures: list[Rgb], columns: int = 4, side: int = 320) -> Rgb:
    """All in rows, each within a square."""
    tiles = []
    for picture in pictures:
        scale = side / max(picture.shape[:2])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tile = np.full((side + 8, side + 8, 3), 255, np.uint8)
        top, left = (side + 8 - small.shape[0]) // 2, (side + 8 - small.shape[1]) // 2
        tile[top : top + small.shape[0], left : left + small.shape[1]] = small
        tiles.append(tile)
    return np.concatenate([np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)])


def _save(path: Path, rgb: Rgb) -> None:
    cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
