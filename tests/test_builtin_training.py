"""The built-in model's network and its training, on a tiny bank and for a few steps."""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from model_export.builtin import bank, decoding, losses, prompts, samples, step, train
from model_export.builtin.network import build_builtin, resize_frame
from model_export.builtin.run import new_run, train_step
from model_export.builtin.schedule import Schedule, Stage
from model_export.builtin.standardize import baked, standardize

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

SIZE = 64


@pytest.fixture(scope="module")
def scene_bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bank")
    for seed in range(4):
        bank.add_scene(folder, seed, 96)
    return folder


def _batch(scene_bank: Path, seed: int = 0) -> samples.Batch:
    return next(iter(samples.Samples(scene_bank, SIZE, images=2, prompts=3, seed=seed)))


@pytest.fixture
def sam() -> "Sam":
    torch.manual_seed(1)
    return build_builtin(SIZE).eval()


def test_the_export_fits_eight_megabytes_in_half_precision(sam: "Sam") -> None:
    assert sum(p.numel() for p in sam.parameters()) * 2 < 7.7e6


def test_shapes_are_segment_anythings(sam: "Sam") -> None:
    embedding = sam.image_encoder(torch.zeros(1, 3, SIZE, SIZE))
    assert embedding.shape == (1, sam.prompt_encoder.embed_dim, *sam.prompt_encoder.image_embedding_size)
    point = (torch.tensor([[[20.0, 30.0]]]), torch.tensor([[1.0]]))
    sparse, dense = sam.prompt_encoder(points=point, boxes=None, masks=None)
    pe = sam.prompt_encoder.get_dense_pe()
    masks, predicted = sam.mask_decoder(embedding, pe, sparse, dense, multimask_output=True)
    assert masks.shape == (1, 3, *sam.prompt_encoder.mask_input_size)
    assert predicted.shape == (1, 3)


@torch.no_grad()
def test_training_decodes_as_segment_anything_does(sam: "Sam") -> None:
    """Points, a box, padding and a mask: the reordered decoder and the prompt tokens agree with the original's."""
    embedding = torch.randn(1, 96, 8, 8)
    mask = torch.randn(2, 1, 32, 32)
    clicks, corners = torch.rand(2, 2, 2) * SIZE, torch.rand(2, 2, 2) * SIZE
    sparse, dense = sam.prompt_encoder((clicks, torch.tensor([[1, 0], [1, -1]])), corners.reshape(2, 4), mask)
    pe = sam.prompt_encoder.get_dense_pe()
    expected = sam.mask_decoder.predict_masks(embedding, pe, sparse, dense)
    asked = step.Prompts(torch.cat([clicks, corners], 1), torch.tensor([[1.0, 0, 2, 3], [1, -1, 2, 3]]))
    logits, predicted = step.decode(sam, embedding, asked, slice(0, 4), mask, torch.ones(2, dtype=torch.bool))
    assert torch.allclose(logits, expected[0], atol=1e-4)
    assert torch.allclose(predicted, expected[1], atol=1e-4)


@torch.no_grad()
def test_one_batch_decodes_the_prompts_of_several_images(sam: "Sam") -> None:
    embeddings, sparse = torch.randn(2, 96, 8, 8), torch.randn(4, 2, 96)
    pe, none = sam.prompt_encoder.get_dense_pe(), torch.zeros(1, 96, 1, 1)
    together, _ = decoding.predict_masks(sam.mask_decoder, embeddings, pe, sparse, none)
    second, _ = decoding.predict_masks(sam.mask_decoder, embeddings[1:], pe, sparse[2:], none, slice(0, 1))
    assert torch.allclose(together[2:, :1], second, atol=1e-4)


@torch.no_grad()
def test_baking_changes_nothing_that_the_network_computes(sam: "Sam") -> None:
    standardize(sam)
    image = torch.randn(1, 3, SIZE, SIZE)
    assert torch.allclose(baked(sam).image_encoder(image), sam.image_encoder(image), atol=1e-5)


def test_weights_serve_another_input_size(sam: "Sam") -> None:
    resize_frame(sam, 96)
    assert sam.prompt_encoder.get_dense_pe().shape[-2:] == sam.image_encoder(torch.zeros(1, 3, 96, 96)).shape[-2:]


def test_targets_lie_on_their_picture(scene_bank: Path) -> None:
    """Nothing of an object is in the padding, and each target is big enough to click."""
    batch = _batch(scene_bank)
    for (height, width), targets in zip(batch.sizes.tolist(), batch.targets, strict=True):
        assert max(height, width) == SIZE
        assert targets[:, (height + 1) // 2 :].sum() == targets[:, :, (width + 1) // 2 :].sum() == 0
        assert (targets.sum((1, 2)) > 1).all()


def test_the_next_click_is_in_the_middle_of_the_largest_error() -> None:
    truth, guess = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    truth[2:9, 2:9] = True
    guess[12:19, 10:19] = True
    assert prompts.next_click(guess, truth) == ((13, 15), 0) or prompts.next_click(guess, truth)[1] == 0
    guess[12:19] = False
    assert prompts.next_click(guess, truth) == ((5, 5), 1)


def test_the_loss_prefers_the_right_mask_and_forgets_the_padding() -> None:
    target, inside = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    target[..., :4, :2], inside[..., :4] = 1, 1
    right = torch.where(target > 0, 9.0, -9.0)
    spilled = torch.where(inside > 0, right, torch.tensor(9.0))
    good, same, bad = (float(losses.mask_loss(logits, target, inside)) for logits in (right, spilled, -right))
    assert good == pytest.approx(same, abs=1e-5)
    assert good < 0.05 < bad
    assert losses.iou(spilled, target, inside).item() == 1.0


@pytest.mark.slow
def test_a_few_steps_on_one_batch_lower_the_loss(scene_bank: Path) -> None:
    run, batch = new_run(3), _batch(scene_bank)
    resize_frame(run.working, SIZE)
    means = [np.mean([train_step(run, batch, np.random.default_rng(i), 2e-3) for i in range(4)]) for _ in range(6)]
    assert means[-1] < 0.8 * means[0]


def test_a_killed_run_goes_on_where_it_was(scene_bank: Path, tmp_path: Path) -> None:
    run = new_run(3)
    resize_frame(run.working, SIZE)
    train_step(run, _batch(scene_bank), np.random.default_rng(0), 1e-3)
    run.seconds = 60.0
    train.checkpoint(run, argparse.Namespace(run=tmp_path, snapshot=None))
    resumed = new_run(4)
    resumed.load(tmp_path / "checkpoint.pt")
    resize_frame(resumed.working, SIZE)
    assert (resumed.steps, resumed.seconds) == (1, 60.0)
    batch = _batch(scene_bank, 1)
    ours, theirs = (train_step(r, batch, np.random.default_rng(1), 1e-3) for r in (run, resumed))
    assert ours == theirs
    for a, b in zip(run.weights.parameters(), resumed.weights.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_schedule_goes_by_progress() -> None:
    schedule = Schedule(10, (Stage(64, 0.5, 2), Stage(96, 0.5, 1)), 1e-3, 3)
    assert [schedule.stage(p).size for p in (0.0, 0.49, 0.51, 1.0)] == [64, 64, 96, 96]
    assert schedule.rate_at(0.0) < schedule.rate_at(0.01) < schedule.rate_at(0.02) > schedule.rate_at(0.9)


@pytest.mark.slow
def test_the_command_trains_and_leaves_loadable_weights(scene_bank: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "model_export.builtin.train",
        str(tmp_path),
        "--bank",
        str(scene_bank),
        "--minutes",
        "0.05",
    ]
    small = ["--stages", "64:1:2", "--prompts", "2", "--threads", "1"]
    subprocess.run([*command, *small], check=True, cwd=Path(__file__).parents[1], timeout=240)
    build_builtin().load_state_dict(torch.load(tmp_path / "builtin.pt", weights_only=True))
