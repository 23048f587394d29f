"""Run, convert, run again, compare: segment-anything's own modules in torch against the folder in OpenVINO."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openvino
import torch
from numpy.typing import NDArray

from model_export import cases, convert
from model_export.cases import Case, Floats
from model_export.errors import ModelFolderError, ParityError
from model_export.folder import EXPORT_ID_PATH, Description, Precision

Bitmaps = NDArray[np.bool_]

if TYPE_CHECKING:
    from segment_anything.modeling import Sam


@dataclass(frozen=True)
class Limits:
    """How far apart torch and OpenVINO may be.

    Attributes:
        delta: largest difference of the logits, relative to their range, and of the predicted IoUs.
        iou: smallest IoU of the masks.
    """

    delta: float
    iou: float


# f16 keeps 11 bits of each weight; what that does to the masks was seen between 1e-3 and 1e-2 of their range.
LIMITS: dict[Precision, Limits] = {"f32": Limits(1e-3, 0.999), "f16": Limits(2e-2, 0.98)}


@dataclass(frozen=True, eq=False)
class Answer:
    """What one side answered to one case: logits float32 (B, 4, h, w) and predicted IoU float32 (B, 4)."""

    logits: Floats
    iou_predictions: Floats


@dataclass(frozen=True)
class Difference:
    """How far apart the two sides are in one case; `delta` and `iou` as in `Limits`."""

    name: str
    delta: float
    iou: float

    def within(self, limits: Limits) -> bool:
        """Whether neither limit is passed; a NaN passes both."""
        return self.delta <= limits.delta and self.iou >= limits.iou


@torch.no_grad()
def torch_answers(sam: "Sam") -> list[Answer]:
    """What segment-anything's own preprocessing, encoder, prompt encoder and mask decoder answer to `cases`."""
    size = sam.image_encoder.img_size
    image = torch.from_numpy(cases.picture(size)).permute(2, 0, 1).to(torch.float32)
    embedding = sam.image_encoder(sam.preprocess(image)[None])
    answers: list[Answer] = []
    for case in cases.prompts(size):
        mask = torch.from_numpy(_mask_of(answers)) if case.with_mask else None
        answers.append(_torch_answer(sam, embedding, case, mask))
    return answers


def _mask_of(answers: list[Answer]) -> Floats:
    return answers[0].logits[:, :1]


def _torch_answer(sam: "Sam", embedding: torch.Tensor, case: Case, mask: torch.Tensor | None) -> Answer:
    points = (torch.from_numpy(case.points), torch.from_numpy(case.labels)) if case.points.shape[1] else None
    boxes = None if case.boxes is None else torch.from_numpy(case.boxes)
    sparse, dense = sam.prompt_encoder(points, boxes, mask)
    image_pe = sam.prompt_encoder.get_dense_pe()
    logits, scores = sam.mask_decoder.predict_masks(embedding, image_pe, sparse, dense)
    return Answer(logits.numpy(), scores.numpy())


def openvino_answers(folder: Path, description: Description, reference: list[Answer]) -> list[Answer]:
    """What the folder's parts answer to `cases`, in f32 arithmetic.

    Args:
        folder: the model folder.
        description: its `model.json`.
        reference: torch's answers; the first is given as `mask_input` to both sides alike.

    Raises:
        ModelFolderError: a part is missing, broken or of another export.
    """
    size = description.image_size
    image = cases.picture(size)
    canvas = np.zeros((1, size, size, 3), np.uint8)
    canvas[0, : image.shape[0], : image.shape[1]] = image
    encoder = _compile(folder / "encoder.xml", description, folder / "encoder.bin")
    embedding = encoder([canvas, np.array(image.shape[:2], np.int64)])[0]
    del encoder
    pieces = _Decoder(
        *(_compile(folder / f"{part}.xml", description, folder / "decoder.bin") for part in convert.PARTS["decoder"])
    )
    mask = _mask_of(reference)
    return [_openvino_answer(pieces, embedding, case, mask) for case in cases.prompts(size)]


@dataclass(frozen=True, eq=False)
class _Decoder:
    image: openvino.CompiledModel
    mask: openvino.CompiledModel
    prompts: openvino.CompiledModel
    upscaling: openvino.CompiledModel


def _compile(path: Path, description: Description, weights: Path) -> openvino.CompiledModel:
    try:
        core = openvino.Core()
        model = core.read_model(path, weights)
        found = model.get_rt_info(EXPORT_ID_PATH).astype(str)
        if found != description.export_id:
            raise ModelFolderError(f"{path} is of another export than model.json.", "Export the model again.")
        return core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelFolderError(f"{path} cannot be loaded: {reason}.", "Export the model again.") from None


def _openvino_answer(decoder: _Decoder, embedding: Floats, case: Case, mask: Floats) -> Answer:
    batch = len(case.points)
    if case.boxes is None:
        corners, kinds = np.zeros((batch, 1, 2), np.float32), [-1]
    else:
        corners, kinds = case.boxes.reshape(batch, 2, 2), [2, 3]
    side = [*decoder.image([embedding]).values()]
    if case.with_mask:
        side = [*decoder.mask([*side, mask]).values()]
    coords = np.concatenate([case.points, corners], axis=1)
    labels = np.concatenate([case.labels, np.tile(np.array(kinds, np.float32), (batch, 1))], axis=1)
    result = decoder.prompts([*side, coords, labels])
    masks = decoder.upscaling([result["prompted_tokens"], result["mask_weights"]])
    return Answer(masks["low_res_masks"], result["iou_predictions"])


def compare(folder: Path, description: Description, reference: list[Answer]) -> list[Difference]:
    """Differences between torch's answers and the folder's, case by case.

    Raises:
        ModelFolderError: a part is missing, broken or of another export.
    """
    answers = openvino_answers(folder, description, reference)
    return [
        difference(case.name, expected, found, description.mask_threshold)
        for case, expected, found in zip(cases.prompts(description.image_size), reference, answers, strict=True)
    ]


def difference(name: str, expected: Answer, found: Answer, threshold: float) -> Difference:
    """How far `found` is from `expected`; logits above `threshold` are inside a mask."""
    # Predicted IoUs lie in a range of 1 by nature; `np.max`, unlike `max`, never drops a NaN.
    scores = np.abs(expected.iou_predictions - found.iou_predictions).max()
    delta = float(np.max([relative(expected.logits, found.logits), scores]))
    return Difference(name, delta, _iou(expected.logits > threshold, found.logits > threshold))


def _iou(expected: Bitmaps, found: Bitmaps) -> float:
    """The smallest IoU of the masks; one below 1 % of the picture counts as that large: a pixel must not decide."""
    differing = (expected ^ found).sum(axis=(2, 3))
    union = (expected | found).sum(axis=(2, 3))
    return float(1 - (differing / union.clip(max(1, expected[0, 0].size // 100))).max())


def relative(expected: Floats, found: Floats) -> float:
    """Largest difference, as a fraction of the range of what was expected."""
    return float(np.abs(expected - found).max() / max(np.ptp(expected), 1e-6))


def check(differences: list[Difference], precision: Precision) -> None:
    """Refuse an export that answers otherwise than torch.

    Raises:
        ParityError: a difference passes the limits of `precision`.
    """
    failed = [difference.name for difference in differences if not difference.within(LIMITS[precision])]
    if failed:
        raise ParityError(
            f"torch and OpenVINO disagree: {', '.join(failed)}.",
            "The folder is damaged, was exported from other weights, or a tool has a fault; export again.",
        )
