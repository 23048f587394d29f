"""Bulk jobs made small: drawn images in a folder, and the command line in a process of its own."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support import scenes
from tests.support.service import command, environment

QUICK = ("--points-per-side", "4", "--stability-score-thresh", "0.8", "--pred-iou-thresh", "0.7")
"""Parameters that find something on the drawn images in a moment."""


def draw_images(folder: Path, count: int) -> list[str]:
    """Different pictures in the folder and in a folder in it; their paths in it, as the source has them."""
    names = [f"{'more/' if number % 3 == 2 else ''}{number:02d}.png" for number in range(count)]
    (folder / "more").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        scene = scenes.draw(96, 72, scenes.CENTER if number % 2 else scenes.STAGE, seed=number)
        (folder / name).write_bytes(scenes.png(scene.rgb))
    return sorted(names, key=lambda name: ("/" in name, name))


def start(*arguments: object, folder: Path) -> subprocess.Popen[str]:
    """Start `sam-backend prelabel`; what it says goes to a file in the folder."""
    with (folder / "said.txt").open("a") as said:
        return subprocess.Popen(
            [*command(), "prelabel", *map(str, arguments)],
            env=environment(),
            text=True,
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def finish(process: subprocess.Popen[str], folder: Path) -> tuple[int, str]:
    """Its exit code, and what it and those before it have said."""
    code = process.wait(300)
    return code, (folder / "said.txt").read_text()


def journal(output: Path) -> list[str]:
    """The keys in a job's journal, in the order in which they were done; a torn line has none."""
    path = output.with_name(output.name + ".journal")
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[1:-1]
    return [json.loads(line)["key"] for line in lines]


def wait_for(job: subprocess.Popen[str], output: Path, count: int) -> list[str]:
    """Wait until so many items are done; their keys."""
    end = time.monotonic() + 300
    while len(done := journal(output)) < count:
        assert job.poll() is None, "It ended too early."
        assert time.monotonic() < end, "It takes too long."
        time.sleep(0.02)
    return done


def tasks(path: Path) -> list[dict[str, Any]]:
    """The tasks of an output."""
    found: list[dict[str, Any]] = json.loads(path.read_bytes())
    return found


def workers(parent: int) -> list[int]:
    """The process ids of a job's worker processes."""
    return [child for child in children(parent) if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def children(parent: int) -> Iterator[int]:
    """The process ids of a process's children."""
    for process in [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]:
        stat = _stat(process)
        if stat and int(stat[1]) == parent:
            yield process


def is_running(process: int) -> bool:
    """Whether it lives; one that has ended and that nobody has asked after does not."""
    stat = _stat(process)
    return bool(stat) and stat[0] != "Z"


def _stat(process: int) -> list[str]:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
