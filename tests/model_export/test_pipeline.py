"""An export makes the whole model folder or nothing, and compares what it made with torch."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from numpy.typing import NDArray

from model_export import folder, pipeline, random_weights, verify
from model_export.architectures import Architecture
from model_export.errors import (
    CheckpointError,
    CheckpointFormatError,
    ChecksumError,
    ModelFolderError,
    OutputError,
    ParityError,
)
from model_export.pipeline import Order
from model_export.weights import Weights

PARTS = ("encoder", "image", "mask", "prompts", "upscaling")
FILES = sorted(["model.json", "decoder.bin", "encoder.bin", *(f"{part}.xml" for part in PARTS)])
pytestmark = pytest.mark.usefixtures("tiny")


@contextlib.contextmanager
def quietly(title: str) -> Iterator[None]:
    """A step that shows nothing."""
    yield


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def description_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "model.json").read_text()))


def mark_of(part: Path) -> str:
    weights = part.with_name("encoder.bin" if part.stem == "encoder" else "decoder.bin")
    return str(openvino.Core().read_model(part, weights).get_rt_info(["sam_backend", "export_id"]).astype(str))


def test_the_folder_says_what_it_is(tiny: Architecture, exported: Path) -> None:
    assert isinstance(tiny.weights, Path)
    assert files(exported) == FILES
    description = description_of(exported)
    tools = description.pop("tools")
    assert tools["openvino"].startswith("2026.")
    assert tools["torch"] == torch.__version__
    assert {description.pop("export_id")} == {mark_of(exported / f"{part}.xml") for part in PARTS}
    assert description == {
        "format": 1,
        "model_id": "tiny",
        "architecture": "tiny",
        "checkpoint_sha256": hashlib.sha256(tiny.weights.read_bytes()).hexdigest(),
        "image_size": 128,
        "embedding_shape": [1, 32, 8, 8],
        "mask_threshold": 0.0,
        "pixel_mean": [123.675, 116.28, 103.53],
        "pixel_std": [58.395, 57.12, 57.375],
        "precision": "f32",
        "random_weights": None,
        "quantization": None,
    }


def test_exports_that_differ_have_different_ids(tiny_sam: Any, exported: Path) -> None:
    sha256 = description_of(exported)["checkpoint_sha256"]
    same, *others = (
        folder.describe(tiny_sam, "tiny", "tiny", sha256, "f32"),
        folder.describe(tiny_sam, "other", "tiny", sha256, "f32"),
        folder.describe(tiny_sam, "tiny", "other", sha256, "f32"),
        folder.describe(tiny_sam, "tiny", "tiny", "0" * 64, "f32"),
        folder.describe(tiny_sam, "tiny", "tiny", sha256, "f16"),
    )
    assert same.export_id == description_of(exported)["export_id"]
    assert len({description.export_id for description in (same, *others)}) == 5


def test_a_checkpoint_of_ones_own_is_taken_and_recorded(tiny: Architecture, tmp_path: Path) -> None:
    checkpoint = tmp_path / "cells.pth"
    torch.save(random_weights.build(tiny, 8).state_dict(), checkpoint)
    order = Order("tiny", Weights(checkpoint), "cells", tmp_path / "cells")

    differences = pipeline.export(order, quietly)

    assert all(difference.within(verify.LIMITS["f32"]) for difference in differences)
    description = description_of(tmp_path / "cells")
    assert description["checkpoint_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert pipeline.verify_folder(tmp_path / "cells", Weights(checkpoint), quietly)
    with pytest.raises(ChecksumError, match=r"exported from a checkpoint with SHA-256 .*--checkpoint"):
        pipeline.verify_folder(tmp_path / "cells", Weights(), quietly)


def test_f16_halves_the_weights_and_stays_within_its_limits(exported: Path, tmp_path: Path) -> None:
    order = Order("tiny", Weights(), "tiny", tmp_path / "f16", "f16")
    differences = pipeline.export(order, quietly)
    assert description_of(order.output)["precision"] == "f16"
    assert 0 < max(difference.delta for difference in differences) <= verify.LIMITS["f16"].delta
    for half in ("encoder.bin", "decoder.bin"):
        assert (order.output / half).stat().st_size < 0.6 * (exported / half).stat().st_size


def test_seeded_weights_can_be_made_again_and_leave_torchs_state_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    pipeline.export(Order("tiny", Weights(seed=3), "tiny", tmp_path / "random", compare=False), quietly)
    assert torch.equal(before, torch.get_rng_state())
    assert description_of(tmp_path / "random")["random_weights"] == 3
    differences = pipeline.verify_folder(tmp_path / "random", Weights(), quietly)
    assert all(difference.within(verify.LIMITS["f32"]) for difference in differences)


def test_seeded_weights_make_parity_mean_something(tiny: Architecture) -> None:
    """Relative positions, absolute positions and prompts all change the masks, which have an inside and an outside."""
    sam = random_weights.build(tiny, 7)
    answers = verify.torch_answers(sam)
    assert all(0.01 < (mask > 0).mean() < 0.99 for answer in answers for mask in answer.logits.reshape(-1, 32, 32))
    for part in ("rel_pos", "pos_embed"):
        changed = random_weights.build(tiny, 7)
        for name, parameter in changed.named_parameters():
            if part in name:
                parameter.data.zero_()
        for one, other in zip(answers, verify.torch_answers(changed), strict=True):
            assert verify.relative(one.logits, other.logits) > 20 * verify.LIMITS["f32"].delta


# ------------------------------------------------------------------------------------------------ all or nothing


class Stop(BaseException):
    """As Ctrl-C does."""


def stops_in(title: str) -> Any:
    @contextlib.contextmanager
    def step(current: str) -> Iterator[None]:
        yield
        if current == title:
            raise Stop

    return step


@pytest.mark.parametrize(
    "title",
    ["building the torch model", "saving the decoder", "tracing the encoder", "running OpenVINO for comparison"],
)
def test_an_interrupted_export_leaves_nothing(tmp_path: Path, title: str) -> None:
    with pytest.raises(Stop):
        pipeline.export(Order("tiny", Weights(), "tiny", tmp_path / "tiny"), stops_in(title))
    assert files(tmp_path) == []


def test_an_interrupted_replacement_leaves_the_old_folder(exported: Path, tmp_path: Path) -> None:
    old = Path(shutil.copytree(exported, tmp_path / "tiny"))
    with pytest.raises(Stop):
        pipeline.export(Order("tiny", Weights(seed=2), "tiny", old, force=True), stops_in("saving the encoder"))
    assert files(tmp_path) == ["tiny"]
    assert description_of(old) == description_of(exported)


@pytest.mark.parametrize(
    ("content", "error"),
    [(None, CheckpointError), (b"half a checkpoint", CheckpointFormatError)],
    ids=["absent", "broken"],
)
def test_a_wrong_checkpoint_leaves_nothing(tmp_path: Path, content: bytes | None, error: type[Exception]) -> None:
    checkpoint = tmp_path / "wrong.pth"
    if content:
        checkpoint.write_bytes(content)
    with pytest.raises(error):
        pipeline.export(Order("tiny", Weights(checkpoint), "tiny", tmp_path / "models" / "tiny"), quietly)
    assert not (tmp_path / "models").exists()


def test_a_conversion_that_disagrees_with_torch_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def halved(sam: Any) -> list[verify.Answer]:
        return [verify.Answer(answer.logits * np.float32(0.5), answer.iou_predictions) for answer in true_answers(sam)]

    true_answers = verify.torch_answers
    monkeypatch.setattr(verify, "torch_answers", halved)
    with pytest.raises(ParityError, match="disagree: one point, "):
        pipeline.export(Order("tiny", Weights(), "tiny", tmp_path / "tiny"), quietly)
    assert files(tmp_path) == []


# ------------------------------------------------------------------------------------------------ existing outputs


def test_a_model_folder_is_replaced_only_by_force(exported: Path, tmp_path: Path) -> None:
    old = Path(shutil.copytree(exported, tmp_path / "tiny"))
    order = Order("tiny", Weights(seed=2), "tiny", old, compare=False)
    with pytest.raises(OutputError, match=r"tiny exists.*--force"):
        pipeline.export(order, quietly)
    pipeline.export(replace(order, force=True), quietly)
    assert description_of(old)["random_weights"] == 2
    assert files(tmp_path) == ["tiny"]


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path, *, force: bool) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"precious")
    with pytest.raises(OutputError, match="is no model folder"):
        pipeline.export(Order("tiny", Weights(), "tiny", tmp_path, force=force), quietly)
    assert files(tmp_path) == ["photo.jpg"]


def test_an_output_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="cannot be written: Not a directory"):
        pipeline.export(Order("tiny", Weights(), "tiny", tmp_path / "file" / "tiny", compare=False), quietly)


# ------------------------------------------------------------------------------------------------ verify


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_a_changed_weight_is_found(spoiled: Callable[[str], Path], half: str) -> None:
    differences = pipeline.verify_folder(spoiled(half), Weights(), quietly)
    with pytest.raises(ParityError, match="torch and OpenVINO disagree"):
        verify.check(differences, "f32")


def test_a_half_of_another_export_is_found(exported: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(exported, tmp_path / "tiny"))
    pipeline.export(Order("tiny", Weights(seed=2), "tiny", tmp_path / "other", compare=False), quietly)
    for name in ("prompts.xml", "decoder.bin"):
        shutil.copy(tmp_path / "other" / name, copy / name)
    with pytest.raises(ModelFolderError, match=r"prompts\.xml is of another export"):
        pipeline.verify_folder(copy, Weights(), quietly)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(exported: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(exported, tmp_path / "tiny"))
    (copy / name).unlink()
    with pytest.raises(ModelFolderError, match=r"model\.json|encoder|decoder|image|mask|prompts|upscaling") as error:
        pipeline.verify_folder(copy, Weights(), quietly)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}'])
def test_a_broken_description_is_named(exported: Path, tmp_path: Path, text: str) -> None:
    copy = Path(shutil.copytree(exported, tmp_path / "tiny"))
    (copy / "model.json").write_text(text)
    with pytest.raises(ModelFolderError, match=r"model\.json is broken"):
        pipeline.verify_folder(copy, Weights(), quietly)


def test_the_comparison_sees_what_is_not_a_number() -> None:
    zeros = verify.Answer(np.zeros((1, 4, 8, 8), np.float32), np.zeros((1, 4), np.float32))
    for found in (
        replace(zeros, logits=zeros.logits * np.nan),
        replace(zeros, iou_predictions=zeros.iou_predictions * np.nan),
    ):
        assert not verify.difference("case", zeros, found, 0.0).within(verify.LIMITS["f16"])


def test_a_pixel_on_the_edge_of_a_small_mask_does_not_fail_it_but_a_lost_object_does() -> None:
    expected = np.full((1, 4, 100, 100), -1, np.float32)
    expected[0, 0, :2, :5] = 1
    expected[0, 1, 20:50, 20:50] = 1
    edge, lost = expected.copy(), expected.copy()
    edge[0, 0, 0, 0] = -1
    lost[0, 1] = -1
    scores = np.zeros((1, 4), np.float32)

    def iou(found: NDArray[np.float32]) -> float:
        return verify.difference("case", verify.Answer(expected, scores), verify.Answer(found, scores), 0.0).iou

    assert iou(expected) == 1
    assert iou(edge) == pytest.approx(0.99)
    assert iou(lost) == 0
