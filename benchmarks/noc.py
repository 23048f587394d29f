"""How many clicks an object takes: 200 drawn held-out scenes, through the backend's own path.

    python benchmarks/noc.py
    python benchmarks/noc.py --scenes 40 --json noc.json

The field's protocol: each next click is in the middle of the largest error of the answer before, positive or negative.
NoC@85 is the mean number of prompts until the IoU is 0.85; an object that does not get there in 20 counts 20, and the
share of these is told. The first prompt is a click in the middle of the object, or its box, which counts as one. One
object of each scene, chosen by the scene's seed.

Both are asked of two backends that differ in `SAM_CHAIN` alone: with the mask of the clicks before as `mask_input`, and
without. Each one's clicks follow its own errors. What chaining changes is told with its 95 % interval over the objects.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import machine
from benchmarks.prompting import Annotator, Bitmap, Click, iou, start
from model_export.builtin.prompts import middle, next_click
from model_export.builtin.scenes import HELD_OUT_SEED, draw_scene
from sam_backend.services import Services

MOST = 20
TARGETS = (0.85, 0.90)
SHOWN = (1, 2, 3, 5, 10, 20)
Curve = list[float]
Curves = NDArray[np.float64]


def click_first(annotator: Annotator, truth: Bitmap, most: int) -> Curve:
    """IoU after each of `most` clicks."""
    return _follow(annotator.clicks, [(middle(truth), 1)], truth, most)


def box_first(annotator: Annotator, truth: Bitmap, most: int) -> Curve:
    """IoU after the object's box and after each of the clicks that follow, `most` prompts in all."""
    ys, xs = np.nonzero(truth)
    mask = annotator.box(int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
    return [iou(mask, truth), *_follow(annotator.clicks_after_box, [next_click(mask, truth)], truth, most - 1)]


def _follow(ask: Callable[[Sequence[Click]], Bitmap], clicks: list[Click], truth: Bitmap, most: int) -> Curve:
    curve = []
    for _ in range(most):
        mask = ask(clicks)
        curve.append(iou(mask, truth))
        clicks.append(next_click(mask, truth))
    return curve


FIRST = {"click first": click_first, "box first": box_first}


def measure(ways: dict[str, Services], seeds: range, most: int) -> dict[str, dict[str, Curves]]:
    """IoU (objects, most) after each prompt, by what comes first and by way of answering."""
    found: dict[str, dict[str, list[Curve]]] = {first: {way: [] for way in ways} for first in FIRST}
    for seed in tqdm(seeds, unit="scene", mininterval=5):
        scene = draw_scene(seed)
        truth = scene.labels == 1 + np.random.default_rng(seed).permutation(len(scene.names))[0]
        for way, shared in ways.items():
            annotator = Annotator(shared, scene.rgb)
            for first, ask in FIRST.items():
                found[first][way].append(ask(annotator, truth, most))
    return {first: {way: np.array(curves) for way, curves in by_way.items()} for first, by_way in found.items()}


def clicks_needed(curves: Curves, target: float) -> NDArray[np.int64]:
    """The number of the first prompt that reaches the target, by object; the number of prompts where none does."""
    reached = curves >= target
    return np.where(reached.any(1), reached.argmax(1) + 1, curves.shape[1])


def summary(curves: Curves) -> dict[str, Any]:
    """NoC, the share that never got there, and the mean IoU by number of prompts."""
    return {
        "noc": {_name(target): float(clicks_needed(curves, target).mean()) for target in TARGETS},
        "never": {_name(target): float((curves < target).all(1).mean()) for target in TARGETS},
        "mean_iou": {str(count): float(curves[:, count - 1].mean()) for count in SHOWN if count <= curves.shape[1]},
    }


def difference(chained: Curves, alone: Curves) -> dict[str, dict[str, float]]:
    """What chaining adds to NoC, object by object, and half its 95 % interval."""
    changes = {target: clicks_needed(chained, target) - clicks_needed(alone, target) for target in TARGETS}
    return {
        _name(target): {"mean": float(change.mean()), "within": float(1.96 * change.std() / len(change) ** 0.5)}
        for target, change in changes.items()
    }


def _name(target: float) -> str:
    return f"NoC@{target * 100:.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    ways = {"chained": start(chain=True), "alone": start(chain=False)}
    curves = measure(ways, range(HELD_OUT_SEED, HELD_OUT_SEED + options.scenes), options.clicks)
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "model_version": ways["chained"].segmenter.model_version,
        "scenes": options.scenes,
        "most": options.clicks,
        "results": {first: {way: summary(c) for way, c in by_way.items()} for first, by_way in curves.items()},
        "difference": {first: difference(by_way["chained"], by_way["alone"]) for first, by_way in curves.items()},
    }
    for shared in ways.values():
        shared.close()
    _print(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--clicks", type=int, default=MOST, help="prompts after which an object is given up")
    parser.add_argument("--short", action="store_true", help="2 scenes, 3 prompts: only whether it runs")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    if options.short:
        options.scenes, options.clicks = 2, 3
    return options


def _print(report: dict[str, Any]) -> None:
    print(f"{report['date']}  {report['machine']}  {report['model_version']}")
    print(f"one object in each of {report['scenes']} held-out scenes, {report['most']} prompts at most")
    shown = [count for count in SHOWN if count <= report["most"]]
    heads = [text for target in TARGETS for text in (_name(target), "never")]
    print(f"{'':22}" + "".join(f"{text:>9}" for text in heads) + "   IoU" + "".join(f"{count:7}" for count in shown))
    for first, by_way in report["results"].items():
        for way, found in by_way.items():
            counts = "".join(f"{found['noc'][name]:9.2f}{found['never'][name]:9.1%}" for name in found["noc"])
            ious = "".join(f"{value:7.3f}" for value in found["mean_iou"].values())
            print(f"{first + ', ' + way:22}{counts}      {ious}")
    for first, changes in report["difference"].items():
        told = ", ".join(f"{name} {change['mean']:+.2f} ± {change['within']:.2f}" for name, change in changes.items())
        print(f"{first}: chaining adds {told}")


if __name__ == "__main__":
    main()
