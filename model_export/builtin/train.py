"""Training of the built-in model: `python -m model_export.builtin.train RUN --bank BANK --minutes 80`.

With `--refine FILE` it goes on from trained weights: prompt encoder and mask decoder learn to obey many clicks
(`refine.py`), the image encoder stays as it is.

The schedule goes by the minutes spent training, which the run's checkpoint carries: a killed run, started again with
the same command, goes on where it was.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.utils.data import DataLoader
from tqdm import tqdm

from model_export.builtin.evaluate import held_out_scores
from model_export.builtin.network import resize_frame
from model_export.builtin.refine import SMALL_FIRST, refining_run
from model_export.builtin.run import Run, new_run, train_step, trained
from model_export.builtin.samples import Batch, Samples
from model_export.builtin.schedule import Schedule, Stage
from model_export.builtin.team import Team

# glibc would give each freed tensor back to the system, and page faults would then take half the time.
_KEEP_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "30000000000",
    "MALLOC_TOP_PAD_": "268435456",
}


def save(state: object, path: Path) -> None:
    """Whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    torch.save(state, partial)
    partial.replace(path)


def half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights in float16, except the positions' frequencies, which stay exact."""
    return {k: v if "gaussian" in k else v.half() for k, v in state.items()}


def _batches(bank: Path, stage: Stage, prompts: int, seed: tuple[int, ...], lean: float) -> DataLoader[Batch]:
    samples = Samples(bank, stage.size, stage.images, prompts, seed, lean)
    return DataLoader(samples, batch_size=None, num_workers=1, prefetch_factor=3, multiprocessing_context="spawn")


def _measure(run: Run, scenes: int, size: int, losses: list[float]) -> str:
    sam = trained(run)
    resize_frame(sam, size)
    scores = held_out_scores(sam, scenes)
    return f"{run.seconds / 60:5.1f} min  step {run.steps:5d}  size {size}  loss {np.mean(losses):.3f}  {scores.line()}"


class Log:
    """Progress bar, checkpoints and held-out figures on the way; silent in all but the team's leader."""

    def __init__(self, run: Run, schedule: Schedule, options: argparse.Namespace, team: Team) -> None:
        self.run, self.options, self.leads = run, options, team.leads
        minutes = round(run.seconds / 60, 1)
        self.bar = tqdm(total=schedule.minutes, initial=minutes, unit="min", mininterval=10, disable=not team.leads)
        self.losses: list[float] = []
        self.noted = self.saved = time.monotonic()

    def note(self, loss: float, size: int) -> None:
        """After each step."""
        self.losses = [*self.losses[-199:], loss]
        self.bar.set_postfix(step=self.run.steps, size=size, loss=f"{np.mean(self.losses[-50:]):.3f}", refresh=False)
        self.bar.update(round(self.run.seconds / 60, 1) - self.bar.n)
        if self.leads and time.monotonic() - self.saved > self.options.save_every * 60:
            checkpoint(self.run, self.options)
            self.saved = time.monotonic()
        if self.leads and time.monotonic() - self.noted > self.options.measure_every * 60:
            self.run.curve.append(_measure(self.run, self.options.scenes, size, self.losses))
            tqdm.write(self.run.curve[-1])
            self.noted = time.monotonic()


def train(run: Run, schedule: Schedule, options: argparse.Namespace, team: Team) -> None:
    """Train to the schedule's end. All of the team keep to the leader's clock."""
    total = schedule.minutes * 60
    log = Log(run, schedule, options, team)
    last = time.monotonic()
    while run.seconds < total:
        stage = schedule.stage(run.seconds / total)
        resize_frame(run.working, stage.size)
        seed = (options.seed, run.steps, team.rank)
        rng = np.random.default_rng(seed)
        lean = SMALL_FIRST if options.refine else 0.0
        for batch in _batches(options.bank, stage, schedule.prompts, seed, lean):
            loss = train_step(run, batch, rng, schedule.rate_at(run.seconds / total), team)
            log.note(loss, stage.size)
            last, before = time.monotonic(), last
            run.seconds = team.leaders(run.seconds + last - before)
            if schedule.stage(run.seconds / total) != stage or run.seconds >= total:
                break
    if team.leads:
        checkpoint(run, options)


def checkpoint(run: Run, options: argparse.Namespace) -> None:
    """Write the run's state, and the network as it is now to `--snapshot`."""
    save(run.state(), options.run / "checkpoint.pt")
    save(half(trained(run).state_dict()), options.run / "builtin.pt")
    if options.snapshot:
        save(trained(run).state_dict(), options.snapshot)


def _stages(text: str) -> tuple[Stage, ...]:
    parts = [part.split(":") for part in text.split(",")]
    return tuple(Stage(int(size), float(share), int(images)) for size, share, images in parts)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m model_export.builtin.train", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the checkpoint and of the result, builtin.pt")
    parser.add_argument("--bank", type=Path, required=True, help="folder made by model_export.builtin.bank")
    parser.add_argument("--refine", type=Path, metavar="FILE", help="go on from these weights, but for the encoder")
    parser.add_argument("--minutes", type=float, default=80, help="time to train, wall clock")
    parser.add_argument("--stages", type=_stages, default="192:0.35:6,288:0.3:4,384:0.35:2", help="size:share:images,…")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--prompts", type=int, default=8, help="per image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2, help="each takes its own batches; --stages counts for each")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--save-every", type=float, default=4, help="minutes")
    parser.add_argument("--measure-every", type=float, default=7, help="minutes")
    parser.add_argument("--scenes", type=int, default=24, help="held-out scenes to measure on, on the way")
    parser.add_argument("--snapshot", type=Path, help="keep the newest network here")
    return parser.parse_args()


def _work(rank: int, options: argparse.Namespace, meeting: Path) -> None:
    """One process of the team, start to end."""
    torch.set_num_threads(options.threads)
    team = Team(rank, options.processes)
    team.join(meeting)
    run = refining_run(options.refine) if options.refine else new_run(options.seed)
    if (options.run / "checkpoint.pt").exists():
        run.load(options.run / "checkpoint.pt")
    train(run, Schedule(options.minutes, options.stages, options.rate, options.prompts), options, team)


def main() -> None:
    """Train, or go on training."""
    options = _options()
    options.run.mkdir(parents=True, exist_ok=True)
    os.environ.update(_KEEP_MEMORY)  # for the processes of the team, which begin anew
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    with tempfile.TemporaryDirectory() as folder:
        arguments = (options, Path(folder) / "meeting")
        team = spawn(_work, arguments, nprocs=options.processes, join=False)
        try:
            while not team.join():
                pass
        finally:
            for process in team.processes:
                process.terminate()


if __name__ == "__main__":
    main()
