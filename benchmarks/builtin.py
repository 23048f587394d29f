"""How well the built-in model segments what it has never seen: 300 drawn scenes, through the backend's own path.

    python benchmarks/builtin.py
    python benchmarks/builtin.py --scenes 40 --json builtin.json --pictures docs/images

Seeds are held out from training. At most four objects of each scene, chosen by the scene's seed. The first click is in
the middle of the object, each next one in the middle of the largest error of the answer before, positive or negative;
the box is the object's own.

`cv2.floodFill` and `cv2.grabCut` get the same prompts by the same protocol, each after its own errors, on one object of
each of the first scenes (grabCut takes seconds for each mask); what sam-backend makes of the same objects stands beside
them. Their parameters are the best of some on scenes of the training's seeds: the flood's tolerance on 40; the brush
that a click is to grabCut on 8, of 2, 8 and 16 pixels.
"""

import argparse
import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.drawing import Rgb, save, sheet, shown
from benchmarks.machine import machine
from benchmarks.prompting import Annotator, Bitmap, Click, iou, start
from model_export.builtin.prompts import middle, next_click
from model_export.builtin.scenes import HELD_OUT_SEED, Scene, draw_scene
from sam_backend.services import Services

MOST_OBJECTS = 4
TUNING_SCENES = 40
TOLERANCES = (8, 16, 24, 32, 48, 64, 80, 100)
BRUSH = 8
Box = tuple[int, int, int, int]


class Flood:
    """`cv2.floodFill` from each click, what negative clicks flood taken away; in a box, from its middle, cut by it."""

    def __init__(self, rgb: Rgb, tolerance: int) -> None:
        self._rgb, self._tolerance = np.ascontiguousarray(rgb), (tolerance,) * 3

    def clicks(self, clicks: Sequence[Click]) -> Bitmap:
        out = np.zeros(self._rgb.shape[:2], bool)
        for at, label in clicks:
            flooded = self._flood(at)
            out = out | flooded if label else out & ~flooded
        return out

    def box(self, x0: int, y0: int, x1: int, y1: int) -> Bitmap:
        out = np.zeros(self._rgb.shape[:2], bool)
        out[y0:y1, x0:x1] = self._flood(((x0 + x1) // 2, (y0 + y1) // 2))[y0:y1, x0:x1]
        return out

    def _flood(self, at: tuple[float, float]) -> Bitmap:
        h, w = self._rgb.shape[:2]
        mask = np.zeros((h + 2, w + 2), np.uint8)
        flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (1 << 8)
        seed = (int(at[0]), int(at[1]))
        cv2.floodFill(self._rgb, mask, seed, (0, 0, 0), self._tolerance, self._tolerance, flags)
        return mask[1:-1, 1:-1] > 0


class Cut:
    """`cv2.grabCut`: clicks are dabs of a brush, around the positive ones lies what may be the object; or a box."""

    def __init__(self, rgb: Rgb, brush: int) -> None:
        self._rgb, self._brush = np.ascontiguousarray(rgb), brush

    def clicks(self, clicks: Sequence[Click]) -> Bitmap:
        mask = np.full(self._rgb.shape[:2], cv2.GC_PR_BGD, np.uint8)
        for (x, y), label in clicks:
            if label:
                cv2.circle(mask, (int(x), int(y)), 4 * self._brush, cv2.GC_PR_FGD, -1)
        for (x, y), label in clicks:
            cv2.circle(mask, (int(x), int(y)), self._brush, cv2.GC_FGD if label else cv2.GC_BGD, -1)
        return self._cut(mask, (0, 0, 0, 0), cv2.GC_INIT_WITH_MASK)

    def box(self, x0: int, y0: int, x1: int, y1: int) -> Bitmap:
        mask = np.zeros(self._rgb.shape[:2], np.uint8)
        return self._cut(mask, (x0, y0, x1 - x0, y1 - y0), cv2.GC_INIT_WITH_RECT)

    def _cut(self, mask: NDArray[np.uint8], box: Box, mode: int) -> Bitmap:
        cv2.setRNGSeed(0)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        try:
            cv2.grabCut(self._rgb, mask, box, *models, 5, mode)
        except cv2.error:  # no pixel is left that may be background, or object
            return np.zeros(mask.shape, bool)
        return np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD))


Method = Callable[[Rgb], Any]
PROMPTS = ("one click", "three clicks", "box")


def main() -> None:
    options = _options()
    shared = start()
    tolerance = _best_tolerance()
    ours: dict[str, Method] = {"sam-backend": lambda rgb: Annotator(shared, rgb)}
    others: dict[str, Method] = {
        f"floodFill, tolerance {tolerance}": lambda rgb: Flood(rgb, tolerance),
        f"grabCut, brush {BRUSH}": lambda rgb: Cut(rgb, BRUSH),
    }
    scores = measure(_held_out(options.scenes), ours, MOST_OBJECTS)
    beside = measure(_held_out(min(options.compared, options.scenes)), ours | others, 1)
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "model_version": shared.segmenter.model_version,
        "all": {"scenes": options.scenes, "objects": _count(scores), "mean_iou": _means(scores)},
        "compared": {"scenes": options.compared, "objects": _count(beside), "mean_iou": _means(beside)},
    }
    if options.pictures:
        save(options.pictures / "scenes.png", _pictures(shared, _held_out(options.scenes), scores))
    shared.close()
    _print(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--compared", type=int, default=60, help="scenes for floodFill and grabCut")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw the first and the worst answers there")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def _held_out(count: int) -> range:
    return range(HELD_OUT_SEED, HELD_OUT_SEED + count)


def _best_tolerance() -> int:
    """The tolerance with the highest mean over the three prompts, on scenes of the training's seeds."""
    floods = {str(value): functools.partial(Flood, tolerance=value) for value in TOLERANCES}
    means = _means(measure(range(TUNING_SCENES), floods, 1))
    return max(TOLERANCES, key=lambda value: sum(means[str(value)].values()))


Scores = dict[str, dict[str, list[float]]]


def _count(scores: Scores) -> int:
    return len(scores["sam-backend"]["box"])


def _means(scores: Scores) -> dict[str, dict[str, float]]:
    return {name: {prompt: float(np.mean(v)) for prompt, v in values.items()} for name, values in scores.items()}


def measure(seeds: range, methods: Mapping[str, Method], most: int) -> Scores:
    """IoU of every object, by method and prompt."""
    scores: Scores = {name: {prompt: [] for prompt in PROMPTS} for name in methods}
    for seed in tqdm(seeds, unit="scene", mininterval=5):
        scene = draw_scene(seed)
        truths = _truths(scene, seed, most)
        for name, make in methods.items():
            method = make(scene.rgb)
            for truth in truths:
                for prompt, value in zip(PROMPTS, _object(method, truth), strict=True):
                    scores[name][prompt].append(value)
    return scores


def _truths(scene: Scene, seed: int, most: int) -> list[Bitmap]:
    chosen = np.random.default_rng(seed).permutation(len(scene.names))[:most]
    return [scene.labels == n + 1 for n in chosen]


def _object(method: Any, truth: Bitmap) -> tuple[float, float, float]:
    clicks: list[Click] = [(middle(truth), 1)]
    first = mask = method.clicks(clicks)
    for _ in range(2):
        clicks.append(next_click(mask, truth))
        mask = method.clicks(clicks)
    ys, xs = np.nonzero(truth)
    box = method.box(int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
    return iou(first, truth), iou(mask, truth), iou(box, truth)


def _pictures(shared: Services, seeds: range, scores: Scores) -> Rgb:
    """One click each: the first eight scenes, then the four worst objects of all, one at most of a scene."""
    where = [(seed, n) for seed in seeds for n in range(len(_truths(draw_scene(seed), seed, MOST_OBJECTS)))]
    order = np.argsort(scores["sam-backend"]["one click"])
    worst = dict(reversed([where[i] for i in order[:40]]))
    chosen = [(seed, 0) for seed in seeds[:8]] + list(reversed(worst.items()))[:4]
    return sheet([_picture(shared, seed, n) for seed, n in chosen])


def _picture(shared: Services, seed: int, number: int) -> Rgb:
    scene = draw_scene(seed)
    click: Click = (middle(_truths(scene, seed, MOST_OBJECTS)[number]), 1)
    return shown(scene.rgb, [Annotator(shared, scene.rgb).clicks([click])], [click], None)


def _print(report: dict[str, Any]) -> None:
    print(f"{report['date']}  {report['machine']}  {report['model_version']}")
    for part in ("all", "compared"):
        print(f"mean IoU of {report[part]['objects']} objects in {report[part]['scenes']} held-out scenes")
        print(f"{'':28}" + "".join(f"{prompt:>14}" for prompt in PROMPTS))
        for method, means in report[part]["mean_iou"].items():
            print(f"{method:28}" + "".join(f"{means[prompt]:14.3f}" for prompt in PROMPTS))


if __name__ == "__main__":
    main()
