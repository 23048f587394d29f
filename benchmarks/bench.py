"""All tables: runs the scripts one after the other, and prints and writes their rows together.

    python benchmarks/bench.py --json bench.json         within half an hour on two cores
    python benchmarks/bench.py --short                   some minutes: fewer repetitions, smaller inputs

Plots go to the folder that `--plots` names. A script that fails does not stop the others; the exit status is 1 when one
failed or refused a ratio.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import report
from benchmarks.rows import TABLE, Row

ROOT = Path(__file__).parents[1]
MOST_MINUTES = 29.0


@dataclass(frozen=True)
class Script:
    """One table: the script's name, and the minutes that it takes, whole and in short, on two slow cores."""

    name: str
    minutes: float
    short: float


SCRIPTS = (
    Script("masks", 0.3, 0.2),
    Script("decoder", 3.5, 1.5),
    Script("encoder", 7.0, 3.0),
    Script("serving", 6.0, 2.0),
    Script("automatic", 10.0, 1.0),
)


def main() -> None:
    options = _options()
    options.plots.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    rows, failed = [], []
    for number, script in enumerate(SCRIPTS):
        _announce(number, options.short, started)
        found, status = _run(script, options, started)
        rows += found
        failed += [script.name] if status else []
    rows = _complete(rows)
    print("\n" + report.table(rows))
    report.write(options.json, rows)
    minutes = (time.monotonic() - started) / 60
    print(f"\n{options.json}: {len(rows)} rows in {minutes:.1f} minutes; plots in {options.plots}")
    if failed:
        print(f"Failed or refused: {', '.join(failed)}")
    sys.exit(bool(failed) or any(row.refused for row in rows))


def _announce(number: int, short: bool, started: float) -> None:  # noqa: FBT001 - as the option
    rest = [script.short if short else script.minutes for script in SCRIPTS[number:]]
    print(
        f"\n[{number + 1}/{len(SCRIPTS)}] {SCRIPTS[number].name}: about {rest[0]:g} minutes; "
        f"{(time.monotonic() - started) / 60:.1f} gone, about {sum(rest):.0f} left",
        flush=True,
    )


def _run(script: Script, options: argparse.Namespace, started: float) -> tuple[list[Row], int]:
    """A script's rows, none where it broke or took too long, and its exit status."""
    file = options.plots / f"{script.name}.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", f"benchmarks.{script.name}", "--json", str(file)]
    command += ["--plot", str(options.plots / f"{script.name}.png"), *(["--short"] if options.short else [])]
    left = 60 * MOST_MINUTES - (time.monotonic() - started)
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    status = _wait(process, max(left, 60))
    return (report.read(file) if file.exists() else []), status


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int:
    """The exit status; who takes longer is ended, and its servers with it."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        print("It took too long and is ended.", flush=True)
        process.terminate()
    try:
        return process.wait(60) or 1
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _complete(rows: Sequence[Row]) -> list[Row]:
    """The rows in the table's order, those beside it behind; what a broken script owes is there too, empty."""
    found = {row.name: row for row in rows}
    missing = {name: Row(name, faults=("its script gave no row",)) for name in TABLE}
    return [*(found.get(name, missing[name]) for name in TABLE), *(row for row in rows if row.name not in TABLE)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="FILE")
    parser.add_argument("--plots", type=Path, default=ROOT / ".bench" / "plots", metavar="FOLDER")
    parser.add_argument("--short", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
