"""A checkpoint is loaded whole and strictly, and a file that is none is refused in one line."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from model_export import checkpoints
from model_export.architectures import Architecture
from model_export.errors import CheckpointError, CheckpointFormatError

Weights = dict[str, torch.Tensor]


def save(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def equal(left: Weights, right: Weights) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_the_weights_are_those_of_the_file(tiny: Architecture, tiny_sam: Any) -> None:
    sam = checkpoints.load(tiny, checkpoints.locate(tiny, None, Path("unused")))
    assert equal(sam.state_dict(), tiny_sam.state_dict())
    assert not sam.training


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict"])
def test_weights_inside_a_trainers_checkpoint_are_found(
    tiny: Architecture, tiny_sam: Any, tmp_path: Path, key: str
) -> None:
    path = save({key: tiny_sam.state_dict(), "epoch": 3}, tmp_path / "trained.pth")
    assert equal(checkpoints.load(tiny, path).state_dict(), tiny_sam.state_dict())


def test_half_precision_and_old_files_are_loaded_as_f32(tiny: Architecture, tiny_sam: Any, tmp_path: Path) -> None:
    halves = {name: value.half() for name, value in tiny_sam.state_dict().items()}
    torch.save(halves, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    loaded = checkpoints.load(tiny, tmp_path / "old.pth").state_dict()
    assert equal(loaded, {name: value.float() for name, value in halves.items()})


def test_the_checksum_is_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"weights")
    assert checkpoints.sha256_of(tmp_path / "file") == hashlib.sha256(b"weights").hexdigest()


def test_a_file_that_is_not_there_is_named(tiny: Architecture, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"There is no checkpoint .*nothing\.pth"):
        checkpoints.locate(tiny, tmp_path / "nothing.pth", tmp_path)


class Malice:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def test_a_checkpoint_cannot_run_code(tiny: Architecture, tmp_path: Path) -> None:
    path = save({"weight": Malice(tmp_path / "was here")}, tmp_path / "malice.pth")
    with pytest.raises(CheckpointFormatError, match="holds more than weights"):
        checkpoints.load(tiny, path)
    assert not (tmp_path / "was here").exists()


@pytest.mark.parametrize("kept", [0, 10, 1000, 0.5, 0.99], ids=str)
def test_a_truncated_file_is_refused(tiny: Architecture, tmp_path: Path, kept: float) -> None:
    assert isinstance(tiny.weights, Path)
    whole = tiny.weights.read_bytes()
    path = tmp_path / "truncated.pth"
    path.write_bytes(whole[: int(kept if kept >= 1 or not kept else kept * len(whole))])
    with pytest.raises(CheckpointFormatError, match=r"truncated\.pth cannot be read.*download it again") as error:
        checkpoints.load(tiny, path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"<html>404</html>", b"PK\x03\x04" + bytes(500)], ids=["page", "zip"])
def test_a_file_that_is_no_checkpoint_is_refused(tiny: Architecture, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "page.pth").write_bytes(content)
    with pytest.raises(CheckpointFormatError, match=r"page\.pth cannot be read as a checkpoint"):
        checkpoints.load(tiny, tmp_path / "page.pth")


@pytest.mark.parametrize(
    "content", [[1, 2], {}, {1: torch.ones(1)}, torch.ones(3)], ids=["list", "empty", "int", "tensor"]
)
def test_a_pytorch_file_without_weights_is_refused(tiny: Architecture, tmp_path: Path, content: object) -> None:
    with pytest.raises(CheckpointFormatError, match=r"other\.pth holds no weights"):
        checkpoints.load(tiny, save(content, tmp_path / "other.pth"))


def missing(weights: Weights) -> Weights:
    return dict(list(weights.items())[1:])


def unexpected(weights: Weights) -> Weights:
    return weights | {"extra.weight": torch.ones(1)}


def other_shape(weights: Weights) -> Weights:
    return weights | {"mask_decoder.iou_token.weight": torch.ones(1, 5)}


def not_a_tensor(weights: Weights) -> dict[str, Any]:
    return weights | {"mask_decoder.iou_token.weight": "weight"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (missing, "Missing key"),
        (unexpected, "Unexpected key"),
        (other_shape, "size mismatch for mask_decoder.iou_token.weight"),
        (not_a_tensor, "mask_decoder.iou_token.weight"),
    ],
)
def test_weights_of_another_architecture_are_refused(
    tiny: Architecture, tiny_sam: Any, tmp_path: Path, change: Any, complaint: str
) -> None:
    path = save(change(tiny_sam.state_dict()), tmp_path / "other.pth")
    with pytest.raises(CheckpointFormatError, match=f"not a checkpoint of tiny: .*{complaint}") as error:
        checkpoints.load(tiny, path)
    assert "\n" not in str(error.value)
