"""Everything mode beside segment-anything's generator in torch, as rows of the table.

    python benchmarks/automatic.py --json automatic.json

`everything_vs_official`: vit_b with seeded random weights on a photograph, thresholds at which many masks pass (see
`everything.py`). Its agreement is the share of official masks that are matched at an IoU of .9 by the built-in model,
at the generator's defaults, and the masks of the timed runs are held to the same. `everything_guided_vs_official`: the
built-in model with the guided grid, the peer with the full one. Each side in a process of its own, in turn.

`--short`: a grid of 8×8 points, and no vit_b.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import ours, peers, report, work
from benchmarks.everything import MATCH, Bitmap, Rgb, ious, photograph
from benchmarks.machine import Precision, best_precision
from benchmarks.rows import GUIDED, MATCHED, Row, compared
from benchmarks.sides import Ran, peaks, sides
from model_export.builtin.scenes import HELD_OUT_SEED
from model_export.builtin.scenes.scene import draw_scene
from sam_backend.automatic_settings import AutomaticSettings

FULL, GUIDED_NAME = "everything_vs_official", "everything_guided_vs_official"
MANY: dict[str, Any] = {
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.85,
    "stability_score_offset": 0.01,
    "box_nms_thresh": 1.0,
}
LEAST_MASKS = 50


@dataclass(frozen=True)
class Runs:
    """What three sides made of the pictures: the official generator, our full grid and our guided one."""

    official: list[Ran]
    full: list[Ran]
    guided: list[Ran]


def main() -> None:
    given = report.options(__doc__)
    rows = report.attempt([FULL, GUIDED_NAME], lambda: measure(best_precision(), short=given.short))
    sys.exit(report.finish("Everything mode", rows, given))


def measure(precision: Precision, *, short: bool) -> Iterator[Row]:
    """Both rows."""
    parameters = AutomaticSettings(points_per_side=8 if short else 32, max_regions=0)
    runs = _builtin(precision, parameters, _pictures(1 if short else 3))
    agreement = matched(runs.official, runs.full)
    if short:
        yield _row(FULL, runs.full, runs.official, agreement, MATCHED, precision, model="builtin")
    else:
        yield _vit_b(precision, parameters.model_copy(update=MANY), agreement)
    found = matched(runs.official, runs.guided)
    yield _row(GUIDED_NAME, runs.guided, runs.official, found, GUIDED, precision, model="builtin")


def _pictures(drawn: int) -> list[Rgb]:
    seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + drawn)
    return [photograph("coins"), *(draw_scene(seed, 768).rgb for seed in seeds)]


def _builtin(precision: Precision, parameters: AutomaticSettings, pictures: Sequence[Rgb]) -> Runs:
    guided = parameters.model_copy(update={"guided": True})
    runs = Runs([], [], [])
    with (
        _ours(work.BUILTIN, precision) as [full],
        _ours(work.BUILTIN, precision) as [guide],
        _official("builtin", None) as [peer],
    ):
        for side in (full, guide, peer):
            side.run(pictures[0][:64, :64], AutomaticSettings(points_per_side=1))  # warm
        for rgb in pictures:
            runs.official.append(peer.run(rgb, parameters))
            runs.full.append(full.run(rgb, parameters))
            runs.guided.append(guide.run(rgb, guided))
    return runs


def _vit_b(precision: Precision, parameters: AutomaticSettings, agreement: float) -> Row:
    rgb = photograph("coins")
    with _ours(work.vit_b(), precision) as [mine], _official(work.ARCHITECTURE, work.SEED) as [theirs]:
        for side in (mine, theirs):
            side.run(rgb[:64, :64], AutomaticSettings(points_per_side=1))  # warm
        before, official, after = mine.run(rgb, parameters), theirs.run(rgb, parameters), mine.run(rgb, parameters)
    here, count = matched([official], [after]), len(official.output)
    faults = (
        *([] if here >= MATCHED else [f"of the timed runs' masks {here:.3f} are matched, {MATCHED} is asked for"]),
        *([] if count >= LEAST_MASKS else [f"{count} masks survive, {LEAST_MASKS} are asked for"]),
    )
    row = compared(FULL, [before.seconds, after.seconds], [official.seconds], agreement, MATCHED)
    return Row(FULL, row.ours, row.peer, agreement, MATCHED, faults=faults, more=row.more).adding(
        precision=precision, model="vit_b", masks=count, matched=here, peaks_mb=peaks([after], [official])
    )


def _ours(folder: Path, precision: Precision) -> Any:
    return sides(("ours", ours.generator, {"folder": folder, "precision": precision}))


def _official(architecture: str, seed: int | None) -> Any:
    return sides(("official", peers.official_generator, {"architecture": architecture, "seed": seed}))


def matched(official: Sequence[Ran], found: Sequence[Ran]) -> float:
    """Share of the official masks of all pictures that one of ours has an IoU of .9 and more with."""
    hits = [_hits(a.output, b.output) for a, b in zip(official, found, strict=True)]
    return float(np.mean(np.concatenate(hits)))


def _hits(expected: list[Bitmap], found: list[Bitmap]) -> Any:
    table = ious(expected, found)
    return table.max(1, initial=0) >= MATCH


def _row(
    name: str, mine: Sequence[Ran], theirs: Sequence[Ran], agreement: float, limit: float, precision: str, **more: Any
) -> Row:
    """Mean seconds of a picture."""
    ratios = [b.seconds / a.seconds for a, b in zip(mine, theirs, strict=True)]
    row = Row(name, _mean(mine), _mean(theirs), agreement, limit)
    return row.adding(
        precision=precision,
        pictures=len(mine),
        masks=sum(len(ran.output) for ran in theirs),
        ratios=[round(ratio, 2) for ratio in ratios],
        peaks_mb=peaks(mine, theirs),
        **more,
    )


def _mean(runs: Sequence[Ran]) -> float:
    return float(np.mean([ran.seconds for ran in runs]))


if __name__ == "__main__":
    main()
