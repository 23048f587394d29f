"""What a script says in the end: its options, the table, the JSON, the plot, and whether all agreed."""

import argparse
import json
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks.machine import machine
from benchmarks.rows import TABLE, Row
from benchmarks.sides import SideError
from benchmarks.work import MissingError


def options(text: str | None) -> argparse.Namespace:
    """Every script's options."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw them (needs matplotlib)")
    parser.add_argument("--short", action="store_true", help="fewer repetitions, smaller inputs")
    signal.signal(signal.SIGTERM, _interrupt)
    return parser.parse_args()


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Ends as Ctrl-C does: what was started is closed."""
    raise KeyboardInterrupt


def attempt(names: Sequence[str], measure: Callable[[], Iterable[Row]]) -> list[Row]:
    """The rows of a measurement; where something it needs is missing or breaks, rows of these names that say so."""
    try:
        return list(measure())
    except MissingError as error:
        return [Row(name, skipped=str(error)) for name in names]
    except (SideError, OSError, RuntimeError, AssertionError) as error:
        return [Row(name, faults=(f"{type(error).__name__}: {error}",)) for name in names]


def finish(title: str, rows: Sequence[Row], given: argparse.Namespace) -> int:
    """Print, write and draw; the exit status: 1 when a ratio was refused."""
    about = {"machine": machine(), "load": round(os.getloadavg()[0], 1), "date": datetime.now(UTC).date().isoformat()}
    told = [row.adding(**about, **({"short": True} if given.short else {})) for row in rows]
    print(table(told), flush=True)
    if given.json:
        write(given.json, told)
    if given.plot:
        plot(given.plot, title, told)
    return int(any(row.refused for row in told))


def write(file: Path, rows: Iterable[Row]) -> None:
    """The rows as a JSON list."""
    file.write_text(json.dumps([row.document() for row in rows], indent=1) + "\n")


def read(file: Path) -> list[Row]:
    """The rows of such a file."""
    return [Row.read(document) for document in json.loads(file.read_text())]


def table(rows: Sequence[Row]) -> str:
    """Rows as text: seconds, ratio, agreement, what is wanted."""
    head = f"{'name':34}{'ours':>10}{'peer':>10}{'ratio':>8}{'agree':>9}{'floor':>7}{'goal':>6}  "
    return "\n".join([head, *map(_line, rows)])


def _line(row: Row) -> str:
    aim = TABLE.get(row.name)
    wanted = f"{aim.floor:7g}{aim.goal:6g}" if aim else " " * 13
    ratio = f"{row.ratio:8.2f}" if row.ratio is not None else f"{'–':>8}"
    agreement = f"{row.agreement:9.4f}" if row.agreement is not None else f"{'–':>9}"
    return f"{row.name:34}{_seconds(row.ours)}{_seconds(row.peer)}{ratio}{agreement}{wanted}  {_remarks(row)}"


def _seconds(value: float | None) -> str:
    if value is None:
        return f"{'–':>10}"
    return f"{value:8.2f} s" if value >= 1 else f"{1000 * value:7.1f} ms"


def _remarks(row: Row) -> str:
    spread, peaks = row.more.get("spread"), row.more.get("peaks_mb")
    parts = [row.verdict, str(row.more.get("precision", ""))]
    if spread:
        parts.append(" to ".join(_seconds(value).strip() for value in spread["ours"]))
        parts.append("beside " + " to ".join(_seconds(value).strip() for value in spread["peer"]))
    if "of_peak" in row.more:
        parts.append(f"{row.more['of_peak']:.0%} of peak")
    if peaks:
        parts.append(f"{peaks['ours']:.0f} beside {peaks['peer']:.0f} MB")
    return ", ".join(part for part in parts if part)


def plot(file: Path, title: str, rows: Sequence[Row]) -> None:
    """Ratios as bars, with marks at floor and goal."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shown = [row for row in rows if row.ratio is not None][::-1]
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.45 * max(len(shown), 1)), layout="constrained")
    bars = axes.barh([row.name for row in shown], [row.ratio or 0 for row in shown], color="#3b6ea8", height=0.6)
    axes.bar_label(bars, fmt=" %.2f", padding=2)
    for place, row in enumerate(shown):
        if aim := TABLE.get(row.name):
            axes.plot([aim.floor] * 2, [place - 0.4, place + 0.4], color="#c0392b", linewidth=2)
            axes.plot([aim.goal] * 2, [place - 0.4, place + 0.4], color="#27ae60", linewidth=2)
    axes.set(title=f"{title}: peer ÷ ours ({machine()})", xlabel="ratio; red: floor, green: goal")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110)
    plt.close(figure)
