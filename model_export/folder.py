"""The model folder: `model.json`, and a way to write the whole folder or nothing of it."""

import contextlib
import hashlib
import importlib.metadata
import json
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from model_export.errors import ModelFolderError, OutputError, UnknownModelError

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

Precision = Literal["f32", "f16", "int8"]
FORMAT = 1
DESCRIPTION = "model.json"
EXPORT_ID_PATH = ["sam_backend", "export_id"]
_MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _tools() -> dict[str, str]:
    return {name.replace("-", "_"): version(name) for name in ("openvino", "torch", "segment-anything", "sam-backend")}


def version(distribution: str) -> str:
    """The version of an installed distribution."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@dataclass(frozen=True)
class Description:
    """What `model.json` says; the fields are its keys.

    Attributes:
        checkpoint_sha256: of the checkpoint's file; of the weights themselves where `random_weights` is set.
        image_size: side of the square input, in pixels.
        embedding_shape: (1, C, h, w).
        pixel_mean: of each channel, subtracted inside the encoder's graph.
        pixel_std: of each channel, divided by inside the encoder's graph.
        precision: how the weights are stored; int8: those of the encoder's large products.
        export_id: the same in both halves; it tells halves of different exports apart.
        random_weights: the seed that the weights were drawn from, or None for those of a checkpoint.
        quantization: what `quantize` did and measured, or None.
    """

    model_id: str
    architecture: str
    checkpoint_sha256: str
    image_size: int
    embedding_shape: tuple[int, int, int, int]
    mask_threshold: float
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]
    precision: Precision
    export_id: str
    random_weights: int | None = None
    quantization: dict[str, Any] | None = None
    tools: dict[str, str] = field(default_factory=_tools)
    format: int = FORMAT


def checked_model_id(name: str) -> str:
    """The name, if it can name a folder.

    Raises:
        UnknownModelError: it cannot.
    """
    if not _MODEL_ID.fullmatch(name):
        raise UnknownModelError(f"{name!r} cannot be a model id.", "Use letters, digits, dots, hyphens, underscores.")
    return name


def describe(
    sam: "Sam",
    model_id: str,
    architecture: str,
    checkpoint_sha256: str,
    precision: Precision,
    random_weights: int | None = None,
) -> Description:
    """The description of `sam`'s export."""
    size = int(sam.image_encoder.img_size)
    parts = (checkpoint_sha256, architecture, model_id, precision, str(size))
    height, width = sam.prompt_encoder.image_embedding_size
    return Description(
        model_id=model_id,
        architecture=architecture,
        checkpoint_sha256=checkpoint_sha256,
        image_size=size,
        embedding_shape=(1, int(sam.prompt_encoder.embed_dim), int(height), int(width)),
        mask_threshold=float(sam.mask_threshold),
        pixel_mean=_channels(sam.pixel_mean),
        pixel_std=_channels(sam.pixel_std),
        precision=precision,
        export_id=hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16],
        random_weights=random_weights,
    )


def _channels(tensor: "Sam") -> tuple[float, ...]:
    # Through f32's shortest text: 123.675 instead of 123.67500305175781.
    return tuple(float(str(value)) for value in tensor.flatten().numpy())


def write_description(folder: Path, description: Description) -> None:
    """Write `model.json`."""
    (folder / DESCRIPTION).write_text(json.dumps(asdict(description), indent=2) + "\n")


def read_description(folder: Path) -> Description:
    """Read `model.json`.

    Raises:
        ModelFolderError: it is missing or not such a description.
    """
    remedy = "Export the model again: python -m model_export export --help"
    try:
        return Description(**json.loads((folder / DESCRIPTION).read_text()))
    except OSError as error:
        raise ModelFolderError(f"{folder} is no model folder: {DESCRIPTION}: {error.strerror}.", remedy) from None
    except (ValueError, TypeError) as error:
        raise ModelFolderError(f"{folder / DESCRIPTION} is broken: {error}.", remedy) from None


def check_output(output: Path, *, force: bool) -> None:
    """Refuse an output that would destroy something.

    Raises:
        OutputError: `output` holds something, and it is no model folder or `force` is not set.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not (output / DESCRIPTION).is_file():
        raise OutputError(f"{output} exists and is no model folder.", "Choose another --output.")
    if not force:
        raise OutputError(f"{output} exists.", "Choose another --output, or replace it with --force.")


@contextlib.contextmanager
def written_whole(output: Path) -> Iterator[Path]:
    """A folder beside `output` to write into; it takes `output`'s place at the end, and vanishes after any failure.

    Raises:
        OutputError: the disk refuses.
    """
    staging = output.parent / f".{output.name}.{secrets.token_hex(4)}.partial"
    try:
        staging.mkdir(parents=True)
        yield staging
        _replace(output, staging)
    except OSError as error:
        raise OutputError(
            f"{output} cannot be written: {error.strerror or error}.", "Choose another --output."
        ) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _replace(output: Path, staging: Path) -> None:
    if not output.exists():
        staging.rename(output)
        return
    old = staging.with_suffix(".old")
    output.rename(old)
    staging.rename(output)
    shutil.rmtree(old, ignore_errors=True)
