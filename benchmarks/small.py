"""What crops do for small objects in large images, and to large ones: 30 drawn scenes, through the backend's own path.

    python benchmarks/small.py
    python benchmarks/small.py --scenes 10 --smallest 60 --largest 400 --json small.json

Each scene is 4000 × 3000 pixels (or 3000 × 4000), of a held-out seed; six objects, 20 to 60 pixels long, are painted
onto it. Each of them, and two at most of the scene's own objects that are 500 pixels long or more, gets one click in
its middle and, anew, its own box, both with `SAM_CROP_BELOW` as it is set and with 0.

Encodes are those that a prompt costs when the image has been opened, which encodes its whole. What was asked before is
cached, so a box, which comes after the click on its object, mostly costs none.
"""

import argparse
import itertools
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.large_scenes import LargeScene, draw_large_scene, seeds
from benchmarks.machine import machine
from benchmarks.prompting import Annotator, Bitmap, iou, start
from model_export.builtin.prompts import middle
from sam_backend import metrics
from sam_backend.services import Services

MOST_LARGE = 2
LEAST_LARGE = 500
SMALL, LARGE = "small", "large"
PROMPTS = ("one click", "box")
Answers = list[tuple[float, float]]


@dataclass(frozen=True)
class Target:
    """An object: `small` or `large`, its mask, bool (H, W), and its bounds XYXY."""

    size: str
    truth: Bitmap
    bounds: tuple[int, int, int, int]

    def click(self) -> tuple[float, float]:
        """The pixel in its middle."""
        left, top, right, bottom = self.bounds
        x, y = middle(self.truth[top:bottom, left:right])
        return left + x, top + y


def main() -> None:
    options = _options()
    services = {"off": start(crop_below=0.0)}
    services["on"] = start()
    answers = measure(services, options)
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "model_version": services["on"].segmenter.model_version,
        "crop_below": services["on"].settings.crop_below,
        "scenes": options.scenes,
        "pixels": {SMALL: [options.smallest, options.largest], LARGE: [LEAST_LARGE, None]},
        "answers": {key: _summary(values) for key, values in answers.items()},
    }
    for shared in services.values():
        shared.close()
    _print(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=30)
    parser.add_argument("--objects", type=int, default=6, help="small ones in each scene")
    parser.add_argument("--smallest", type=float, default=20, metavar="PIXELS")
    parser.add_argument("--largest", type=float, default=60, metavar="PIXELS")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def measure(services: dict[str, Services], options: argparse.Namespace) -> dict[str, Answers]:
    """IoU and encodes of each answer, by size of the object, prompt, and whether crops are on or off."""
    keys = itertools.product((SMALL, LARGE), PROMPTS, services)
    answers: dict[str, Answers] = {f"{size}, {prompt}, {crops}": [] for size, prompt, crops in keys}
    for seed in tqdm(itertools.islice(seeds(), options.scenes), total=options.scenes, unit="scene", mininterval=5):
        scene = draw_large_scene(seed, options.objects, options.smallest, options.largest)
        targets = _targets(scene, seed)
        for crops, shared in services.items():
            annotator = Annotator(shared, scene.rgb)
            annotator.box(0, 0, *annotator.size[::-1])
            for target in targets:
                for prompt, answer in zip(PROMPTS, _ask(annotator, target), strict=True):
                    answers[f"{target.size}, {prompt}, {crops}"].append(answer)
    return answers


def _targets(scene: LargeScene, seed: int) -> list[Target]:
    chosen = np.random.default_rng(seed).permutation(scene.large)
    large = [target for target in (_target(scene, LARGE, label) for label in chosen) if _length(target) >= LEAST_LARGE]
    return [_target(scene, SMALL, label) for label in scene.small] + large[:MOST_LARGE]


def _target(scene: LargeScene, size: str, label: int) -> Target:
    truth = scene.mask(label)
    columns, rows = np.flatnonzero(truth.any(0)), np.flatnonzero(truth.any(1))
    return Target(size, truth, (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))


def _length(target: Target) -> int:
    left, top, right, bottom = target.bounds
    return max(right - left, bottom - top)


def _ask(annotator: Annotator, target: Target) -> Answers:
    before = _encodes()
    clicked = annotator.clicks([(target.click(), 1)])
    between = _encodes()
    boxed = annotator.box(*target.bounds)
    return [(iou(clicked, target.truth), between - before), (iou(boxed, target.truth), _encodes() - between)]


def _encodes() -> float:
    return metrics.REGISTRY.get_sample_value("sam_encodes_total") or 0.0


def _summary(answers: Answers) -> dict[str, float]:
    ious, encodes = np.array(answers).reshape(-1, 2).T
    return {"objects": len(ious), "mean_iou": float(ious.mean()), "encodes": float(encodes.mean())}


def _print(report: dict[str, Any]) -> None:
    print(f"{report['date']}  {report['machine']}  {report['model_version']}")
    low, high = report["pixels"][SMALL]
    print(
        f"{report['scenes']} scenes; small: {low:g} to {high:g} pixels; SAM_CROP_BELOW={report['crop_below']:g} and 0"
    )
    print(f"{'':28}{'objects':>9}{'mean IoU':>10}{'encodes':>9}")
    for key, summary in report["answers"].items():
        print(f"{key:28}{summary['objects']:9}{summary['mean_iou']:10.3f}{summary['encodes']:9.2f}")


if __name__ == "__main__":
    main()
