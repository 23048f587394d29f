"""Read a model folder and check that its parts belong together, without waking OpenVINO."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sam_backend.errors import ModelFolderError

PARTS = {"encoder": "encoder", "image": "decoder", "mask": "decoder", "prompts": "decoder", "upscaling": "decoder"}
"""Each part of a model, `<part>.xml`, and whose weights it reads: `<half>.bin`.

All but the first are the decoder; `decoder.py` says what each does.
"""

EXPORT_AGAIN = "Export the model again: python -m model_export export --help."
_JSON_OBJECT = TypeAdapter(dict[str, object])


class ModelInfo(BaseModel):
    """What `model.json` says, and where it stands.

    Attributes:
        model_id: the folder's own name for the model.
        image_size: side of the square input, in pixels.
        embedding_shape: (1, C, h, w) of `image_embeddings`.
        mask_threshold: logits above it are inside the mask.
        precision: how the weights are stored; int8: those of the encoder's large products.
        export_id: the mark that all parts carry.
        folder: where the files are.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    format: Literal[1]
    model_id: str
    architecture: str
    checkpoint_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    image_size: int = Field(ge=32, le=8192)
    embedding_shape: tuple[int, int, int, int]
    mask_threshold: float
    precision: Literal["f32", "f16", "int8"]
    export_id: str
    folder: Path

    @property
    def low_res_size(self) -> tuple[int, int]:
        """(h, w) of the decoder's masks: four times the embedding's."""
        return 4 * self.embedding_shape[2], 4 * self.embedding_shape[3]

    def weights(self, part: str) -> Path:
        """The file of a part's weights."""
        return self.folder / f"{PARTS[part]}.bin"


def read_info(folder: Path) -> ModelInfo:
    """Read `model.json` and check all parts against it, without loading them.

    Args:
        folder: a folder that `python -m model_export export` wrote.

    Raises:
        ModelFolderError: something is missing, broken, or of another export.
    """
    info = _read_description(folder)
    for part in PARTS:
        _check_part(info, part)
    return info


def _read_description(folder: Path) -> ModelInfo:
    path = folder / "model.json"
    try:
        text = path.read_text()
    except OSError:
        raise ModelFolderError(
            f"No model at {folder}: model.json is missing.",
            "Set SAM_MODEL and SAM_MODEL_DIR to an exported model, or leave SAM_MODEL unset for the built-in one.",
        ) from None
    try:
        document = _JSON_OBJECT.validate_json(text) | {"folder": folder}
        return ModelInfo.model_validate(document)
    except ValidationError as error:
        complaint = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in complaint["loc"])
        raise ModelFolderError(
            f"{path} is not a model description: {where} {complaint['msg']}.", EXPORT_AGAIN
        ) from None


def _check_part(info: ModelInfo, part: str) -> None:
    xml, weights = info.folder / f"{part}.xml", info.weights(part)
    try:
        # The folder is the operator's own, and expat refuses entity bombs.
        root = ET.parse(xml).getroot()  # noqa: S314
        available = weights.stat().st_size
    except (OSError, ET.ParseError) as error:
        raise ModelFolderError(f"{part}.xml in {info.folder} cannot be read: {error}.", EXPORT_AGAIN) from None
    mark = root.find("./rt_info/sam_backend/export_id")
    found = "no mark" if mark is None else mark.get("value", "no mark")
    if found != info.export_id:
        raise ModelFolderError(
            f"{part}.xml in {info.folder} is of another export ({found}, model.json says {info.export_id}).",
            EXPORT_AGAIN,
        )
    needed = max((int(data.get("offset", 0)) + int(data.get("size", 0)) for data in root.iter("data")), default=0)
    if available < needed:
        raise ModelFolderError(f"{weights} is truncated: {available} of {needed} bytes.", EXPORT_AGAIN)
