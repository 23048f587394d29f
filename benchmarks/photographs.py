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
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data, filters, measure, morphology, segmentation

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.drawing import Box, Rgb, save, sheet, shown
from benchmarks.prompting import Annotator, Bitmap, Click, iou, start
from model_export.builtin.prompts import middle
from sam_backend.services import Services

SMALLEST_COIN = 400


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
    Prompt("camera", clicks=(((200, 250), 1), ((80, 430), 1))),
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
        save(options.pictures / "coins.png", shown(coins, masks, [(at, 1) for at in places], None))
        save(options.pictures / "photographs.png", sheet([_answer(shared, prompt) for prompt in PROMPTS]))
    shared.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw prompts and masks there")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def color(image: NDArray[Any]) -> Rgb:
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


def _answer(shared: Services, prompt: Prompt) -> Rgb:
    image = color(getattr(data, prompt.photograph)())
    annotator = Annotator(shared, image)
    mask = annotator.box(*prompt.box) if prompt.box else annotator.clicks(prompt.clicks)
    return shown(image, [mask], list(prompt.clicks), prompt.box)


if __name__ == "__main__":
    main()
