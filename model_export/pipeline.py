"""The order of the stages: build, run in torch, convert and save both halves, run in OpenVINO, compare."""

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from model_export import architectures, convert, folder, verify
from model_export.errors import ChecksumError, ModelFolderError
from model_export.folder import Description, Precision
from model_export.verify import Answer, Difference
from model_export.weights import Weights, build, locate

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

Step = Callable[[str], AbstractContextManager[None]]
EXPORT_STEPS = 5
COMPARE_STEPS = 2  # more, when an export also compares
VERIFY_STEPS = 3


@dataclass(frozen=True)
class Order:
    """What to export, and where to.

    Attributes:
        architecture: its name in the registry.
        weights: the checkpoint, or the seed.
        model_id: what the service will call it.
        output: the model folder to make.
        precision: how the weights are stored.
        force: replace a model folder that stands there.
        compare: run both sides afterwards; nothing is kept when they disagree.
    """

    architecture: str
    weights: Weights
    model_id: str
    output: Path
    precision: Precision = "f32"
    force: bool = False
    compare: bool = True


def export(order: Order, step: Step) -> list[Difference]:
    """Make the model folder, whole or not at all.

    Args:
        order: what to make.
        step: a context manager around each stage, for the user to see.

    Returns:
        How far the folder is from torch, case by case; nothing unless `order.compare`.

    Raises:
        ExportError: with the reason; nothing is left behind then.
    """
    folder.check_output(order.output, force=order.force)
    architecture = architectures.find(order.architecture)
    weights = locate(architecture, order.weights)
    with step("building the torch model"):
        sam, sha256 = build(architecture, weights)
    description = folder.describe(sam, order.model_id, architecture.name, sha256, order.precision, weights.seed)
    reference: list[Answer] = []
    if order.compare:
        with step("running torch for comparison"):
            reference = verify.torch_answers(sam)
    with folder.written_whole(order.output) as staging:
        _convert(sam, staging, description, step)
        del sam
        gc.collect()
        folder.write_description(staging, description)
        return _compare(staging, description, reference, step) if order.compare else []


def _convert(sam: "Sam", staging: Path, description: Description, step: Step) -> None:
    for half, parts in convert.PARTS.items():
        with step(f"tracing the {half}"):
            models = {name: convert_part(sam) for name, convert_part in parts.items()}
        with step(f"saving the {half}"):
            convert.save(models, staging, half, description)
        del models


def _compare(path: Path, description: Description, reference: list[Answer], step: Step) -> list[Difference]:
    with step("running OpenVINO for comparison"):
        differences = verify.compare(path, description, reference)
    verify.check(differences, description.precision)
    return differences


def verify_folder(path: Path, weights: Weights, step: Step) -> list[Difference]:
    """Compare a model folder with torch again.

    Args:
        path: the model folder.
        weights: where its checkpoint lies; the seed of random weights is read from the folder.
        step: as in `export`.

    Raises:
        ModelFolderError: the folder is not complete, or quantized.
        ChecksumError: these are not the weights that it was exported from.
    """
    description = folder.read_description(path)
    if description.quantization:
        raise ModelFolderError(
            f"{path} is quantized: its masks are not torch's, but close to them (IoU in the mean "
            f"{description.quantization['mean_iou']:.3f}).",
            "Verify the folder that it was made from.",
        )
    architecture = architectures.find(description.architecture)
    weights = locate(architecture, replace(weights, seed=description.random_weights))
    with step("building the torch model"):
        sam, sha256 = build(architecture, weights)
    if sha256 != description.checkpoint_sha256:
        raise ChecksumError(
            f"{path} was exported from a checkpoint with SHA-256 {description.checkpoint_sha256[:16]}…, "
            f"this one has {sha256[:16]}….",
            "Give the checkpoint that it was exported from to --checkpoint.",
        )
    with step("running torch for comparison"):
        reference = verify.torch_answers(sam)
    del sam
    gc.collect()
    with step("running OpenVINO for comparison"):
        return verify.compare(path, description, reference)
