r"""Everything mode beside segment-anything's own generator: the same weights, parameters and pictures in one run.

    python benchmarks/everything.py                              the built-in model, at the defaults
    python benchmarks/everything.py --guided --no-official       the guided grid beside the full one
    python benchmarks/everything.py --model vit_b --seed 0 --pred-iou-thresh 0 \
        --stability-score-thresh 0.85 --stability-score-offset 0.01 --box-nms-thresh 1
    python benchmarks/everything.py --sheet everything.jpg       pictures of what is found

`--seed` builds the reference from the same random weights as `python -m model_export export vit_b --random-weights 0`.
Their logits are small and their masks much alike, hence those thresholds: many masks pass, and none is a twin's.
`automatic.py` makes the rows of the table.

A mask is matched when one of the other side has an IoU of .9 with it and more. Official times are those of f32 on all
cores, as a user of segment-anything has them. The peak of memory is that of the process after our own side ran first.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage import data

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.drawing import save, sheet, tinted
from benchmarks.machine import machine
from model_export.builtin.scenes import HELD_OUT_SEED
from model_export.builtin.scenes.scene import draw_scene
from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.labelstudio import images
from sam_backend.sam.types import Image
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings

Bitmap = NDArray[np.bool_]
Rgb = NDArray[np.uint8]
Generate = Callable[[Rgb], list[Bitmap]]

PHOTOGRAPHS = ("coins", "coffee", "chelsea", "astronaut", "rocket")
MATCH = 0.9


@dataclass(frozen=True)
class Row:
    """One picture: two sides, A the reference."""

    picture: str
    masks: int
    reference_masks: int
    matched: float
    extra: float
    seconds: float
    reference_seconds: float


def main() -> None:
    options = _options()
    parameters = _parameters(options)
    segmenter = Segmenter(
        Settings.model_validate(
            {"SAM_MODEL": options.model, "SAM_MODEL_DIR": options.model_dir, "SAM_PRECISION": options.precision}
        )
    )
    pictures = dict(_pictures(options))
    ours = _ours(segmenter, parameters.model_copy(update={"guided": options.guided}))
    ours(next(iter(pictures.values())))  # compiles the model
    peak = _peak()
    if options.sheet:
        _draw(options, pictures, ours)
        return
    reference = _ours(segmenter, parameters) if options.no_official else _official(options, parameters)
    rows = [_compare(name, rgb, ours, reference) for name, rgb in pictures.items()]
    _report(options, rows, peak)


def _draw(options: argparse.Namespace, pictures: dict[str, Rgb], ours: Generate) -> None:
    """Each picture beside what was found on it."""
    tiles = [tile for rgb in pictures.values() for tile in (rgb, tinted(rgb, ours(rgb)))]
    save(options.sheet, sheet(tiles))


def _compare(name: str, rgb: Rgb, ours: Generate, reference: Generate) -> Row:
    found, seconds = _timed(ours, rgb)
    expected, reference_seconds = _timed(reference, rgb)
    best = ious(expected, found)
    matched = float((best.max(1) >= MATCH).mean()) if best.size else float(not expected)
    extra = float((best.max(0) < MATCH).mean()) if best.size else float(bool(found))
    row = Row(name, len(found), len(expected), matched, extra, seconds, reference_seconds)
    print(
        f"{name:12} {row.masks:4} masks of {row.reference_masks:4}, matched {matched:.3f}, extra {extra:.3f}, "
        f"{seconds:7.2f} s beside {reference_seconds:7.2f} s, ratio {reference_seconds / seconds:.1f}",
        flush=True,
    )
    return row


def _timed(generate: Generate, rgb: Rgb) -> tuple[list[Bitmap], float]:
    started = time.perf_counter()
    found = generate(rgb)
    return found, time.perf_counter() - started


def ious(expected: Sequence[Bitmap], found: Sequence[Bitmap]) -> NDArray[np.float64]:
    """IoU of each pair, (expected, found)."""
    if not expected or not found:
        return np.zeros((len(expected), len(found)))
    one, other = (np.stack([mask.ravel() for mask in side]).astype(np.float32) for side in (expected, found))
    shared = one @ other.T
    return np.asarray(shared / (one.sum(1)[:, None] + other.sum(1)[None] - shared), np.float64)


def _ours(segmenter: Segmenter, parameters: AutomaticSettings) -> Generate:
    def generate(rgb: Rgb) -> list[Bitmap]:
        # A name of its own each time, so that each run encodes: the reference does too.
        image = Image(rgb, f"{images.digest(rgb)} {time.perf_counter_ns()}")
        return [mask.patch.bitmap for mask in segmenter.everything(image, parameters).masks]

    return generate


def _official(options: argparse.Namespace, parameters: AutomaticSettings) -> Generate:
    from model_export import architectures
    from model_export.weights import Weights, build

    sam, _ = build(architectures.find(options.architecture or options.model), Weights(seed=options.seed))
    return official(sam, parameters)


def official(sam: Any, parameters: AutomaticSettings) -> Generate:
    """The real generator with our parameters."""
    from benchmarks.official import generator_class

    names = (
        *("points_per_side", "pred_iou_thresh", "stability_score_thresh", "stability_score_offset", "box_nms_thresh"),
        *("crop_n_layers", "crop_nms_thresh", "crop_overlap_ratio", "crop_n_points_downscale_factor"),
        "min_mask_region_area",
    )
    generator = generator_class()(sam, **{name: getattr(parameters, name) for name in names})
    return lambda rgb: [record["segmentation"] for record in generator.generate(rgb)]


def _pictures(options: argparse.Namespace) -> Iterator[tuple[str, Rgb]]:
    for name in PHOTOGRAPHS[: options.photographs]:
        yield name, photograph(name)
    for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + options.scenes):
        yield f"scene {seed - HELD_OUT_SEED}", draw_scene(seed, 768).rgb


def photograph(name: str) -> Rgb:
    """One of scikit-image's, uint8 (H, W, 3)."""
    rgb = getattr(data, name)()
    return np.ascontiguousarray(np.stack([rgb] * 3, -1) if rgb.ndim == 2 else rgb[..., :3])


def _parameters(options: argparse.Namespace) -> AutomaticSettings:
    return AutomaticSettings(
        points_per_side=options.points_per_side,
        points_per_batch=options.points_per_batch,
        pred_iou_thresh=options.pred_iou_thresh,
        stability_score_thresh=options.stability_score_thresh,
        stability_score_offset=options.stability_score_offset,
        box_nms_thresh=options.box_nms_thresh,
        max_regions=0,
    )


def _report(options: argparse.Namespace, rows: list[Row], peak: float) -> None:
    expected = sum(row.reference_masks for row in rows)
    matched = sum(row.matched * row.reference_masks for row in rows) / max(expected, 1)
    extra = sum(row.extra * row.masks for row in rows) / max(sum(row.masks for row in rows), 1)
    ratios = [row.reference_seconds / row.seconds for row in rows]
    print(
        f"all: {expected} masks of the reference, matched {matched:.3f}, extra {extra:.3f}, ratio of times: median "
        f"{statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}, of sums "
        f"{sum(row.reference_seconds for row in rows) / sum(row.seconds for row in rows):.2f}; our peak {peak:.2f} GB"
    )
    if options.json:
        document: dict[str, Any] = {"machine": machine(), "date": datetime.now(UTC).date().isoformat()}
        document |= {"rows": [asdict(row) for row in rows], "matched": matched, "extra": extra, "peak_gb": peak}
        options.json.write_text(json.dumps(document, indent=2) + "\n")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin", help="model folder to run (default: builtin)")
    parser.add_argument("--model-dir", type=Path, default=Path("models"))
    parser.add_argument("--architecture", help="of the reference, where the folder has another name")
    parser.add_argument("--seed", type=int, help="random weights of the reference")
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--photographs", type=int, default=3, help="how many, 5 at most")
    parser.add_argument("--scenes", type=int, default=0, help="how many held-out drawn scenes of 768×768")
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--points-per-batch", type=int, default=16)
    parser.add_argument("--pred-iou-thresh", type=float, default=0.88)
    parser.add_argument("--stability-score-thresh", type=float, default=0.95)
    parser.add_argument("--stability-score-offset", type=float, default=1.0)
    parser.add_argument("--box-nms-thresh", type=float, default=0.7)
    parser.add_argument("--guided", action="store_true", help="our side uses the guided grid")
    parser.add_argument("--no-official", action="store_true", help="compare with our own full grid")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path, help="compare nothing; write a picture of what is found")
    return parser.parse_args()


if __name__ == "__main__":
    main()
