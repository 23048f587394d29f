"""The refinement of the built-in model's trained weights, on a tiny bank and for a few steps."""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model_export.builtin import bank, samples, train
from model_export.builtin.blend import blend
from model_export.builtin.network import CHECKPOINT, resize_frame
from model_export.builtin.refine import refining_run, spoiled, worth
from model_export.builtin.run import Run, train_step, trained

SIZE = 64


@pytest.fixture(scope="module")
def scene_bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bank")
    for seed in range(4):
        bank.add_scene(folder, seed, 96)
    return folder


def _batch(scene_bank: Path, seed: int = 0, lean: float = 0.0) -> samples.Batch:
    return next(iter(samples.Samples(scene_bank, SIZE, images=2, prompts=3, seed=seed, lean=lean)))


def _run() -> Run:
    run = refining_run(CHECKPOINT)
    resize_frame(run.working, SIZE)
    return run


def _is_encoder(name: str) -> bool:
    return name.startswith("image_encoder")


def _moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


def test_a_step_moves_the_decoder_and_leaves_the_encoder_to_the_bit(scene_bank: Path) -> None:
    run, checkpoint = _run(), torch.load(CHECKPOINT, weights_only=True)
    for seed in range(2):
        train_step(run, _batch(scene_bank, seed), np.random.default_rng(seed), 1e-2)
    moved = _moved(checkpoint, train.half(trained(run).state_dict()))
    assert any(name.startswith("mask_decoder") for name in moved)
    assert any(name.startswith("prompt_encoder") for name in moved)
    assert not any(_is_encoder(name) or "gaussian" in name for name in moved)


def test_a_killed_refinement_goes_on_where_it_was(scene_bank: Path, tmp_path: Path) -> None:
    run = _run()
    train_step(run, _batch(scene_bank), np.random.default_rng(0), 1e-3)
    train.checkpoint(run, argparse.Namespace(run=tmp_path, snapshot=None))
    resumed = _run()
    resumed.load(tmp_path / "checkpoint.pt")
    batch = _batch(scene_bank, 1)
    ours, theirs = (train_step(r, batch, np.random.default_rng(1), 1e-3) for r in (run, resumed))
    assert ours == theirs
    assert _moved(run.weights.state_dict(), resumed.weights.state_dict()) == set()


def test_a_click_makes_the_piece_that_it_hits_count_and_what_is_around_it() -> None:
    error = np.zeros((40, 40), bool)
    error[5:8, 5:8] = error[30:36, 30:36] = True
    counts = worth(error, 6, 6)
    assert counts.sum() == pytest.approx(1)
    assert counts[5:8, 5:8].sum() > 0.5
    assert counts[1:4, 5:8].min() > 0
    assert counts[20:].max() == 0


def test_a_click_beside_every_error_counts_for_itself() -> None:
    counts = worth(np.zeros((40, 40), bool), 6, 9)
    assert counts[9, 6] == counts.max() > 0.5
    assert counts.sum() == pytest.approx(1)


def test_a_spoiled_region_lacks_a_part_or_has_one_too_many() -> None:
    truth, other = np.zeros((2, 48, 48), bool)
    truth[10:24, 10:24], other[10:24, 30:40] = True, True
    made = [spoiled(np.random.default_rng(seed), truth, other) for seed in range(40)]
    assert any((region == truth | other).all() for region in made)
    assert any((region & ~truth & ~other).any() for region in made)
    assert any((truth & ~region).any() for region in made)
    assert all((truth & ~region).any() ^ (region & ~truth).any() for region in made if (region ^ truth).any())


def test_samples_lean_to_small_objects(scene_bank: Path) -> None:
    even, small = (np.mean([_batch(scene_bank, i, lean).targets.mean() for i in range(12)]) for lean in (0.0, 2.0))
    assert small < 0.8 * even


def test_a_blend_is_between_two_weights_and_keeps_what_is_equal() -> None:
    one = {"moved": torch.tensor([0.0, 1.0]).half(), "kept": torch.tensor([0.1, -0.0]).half()}
    other = {"moved": torch.tensor([1.0, 3.0]).half(), "kept": torch.tensor([0.1, -0.0]).half()}
    made = blend(one, other, 0.25)
    assert made["moved"].tolist() == [0.25, 1.5]
    assert made["kept"].numpy().tobytes() == one["kept"].numpy().tobytes()
    assert made["moved"].dtype == torch.float16


@pytest.mark.slow
def test_a_few_steps_on_one_batch_lower_the_loss(scene_bank: Path) -> None:
    run, batch = _run(), _batch(scene_bank)
    means = [np.mean([train_step(run, batch, np.random.default_rng(i), 1e-3) for i in range(4)]) for _ in range(6)]
    assert means[-1] < 0.9 * means[0]


@pytest.mark.slow
def test_the_command_refines_and_keeps_the_encoder(scene_bank: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "model_export.builtin.train", str(tmp_path), "--bank", str(scene_bank)]
    small = ["--minutes", "0.05", "--stages", "64:1:2", "--prompts", "2", "--processes", "1"]
    subprocess.run(
        [*command, "--refine", str(CHECKPOINT), *small], check=True, cwd=Path(__file__).parents[1], timeout=240
    )
    before, after = (torch.load(path, weights_only=True) for path in (CHECKPOINT, tmp_path / "builtin.pt"))
    assert before.keys() == after.keys()
    assert not any(_is_encoder(name) for name in _moved(before, after))
