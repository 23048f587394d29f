"""The order of the stages: the folder's own masks, calibration, the quantized model's masks, its speed."""

import gc
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import openvino
from tqdm import tqdm

from model_export import folder
from model_export.errors import AgreementError, ModelFolderError, OutputError
from model_export.folder import Description
from model_export.quantization import agreement, nncf_encoder, pictures, saving, speed
from model_export.quantization.agreement import Agreement, Asked
from model_export.quantization.pictures import Pictures
from model_export.quantization.speed import Speed
from sam_backend.sam.folder import read_info


@dataclass(frozen=True)
class Order:
    """What to quantize, and where to.

    Attributes:
        source: the model folder.
        images: the folder of images.
        output: the model folder to make.
        model_id: what the service will call it; None: as before.
        limit: most images to calibrate with.
        min_iou: least mean of the masks' IoUs.
        min_p5: least 5th percentile of them.
        force: replace a model folder that stands at the output.
    """

    source: Path
    images: Path
    output: Path
    model_id: str | None = None
    limit: int = 32
    min_iou: float = 0.95
    min_p5: float = 0.75
    force: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    pictures: Pictures
    agreement: Agreement
    speed: Speed


def quantize(order: Order, tell: Callable[[str], None]) -> Outcome:
    """Make a model folder with the encoder in int8, whole or not at all.

    Args:
        order: what to make.
        tell: shows the user a line.

    Raises:
        ExportError: with the reason; nothing is left behind then.
        SamBackendError: the source is no model folder that the service would take.
    """
    nncf_encoder.import_nncf()
    source = _checked(order)
    chosen = pictures.choose(order.images, order.limit, tell)
    questions = _questions(order.source, chosen)
    encoder = _quantized(order.source, source, chosen)
    description = _describe(source, order, encoder)
    with folder.written_whole(order.output) as staging:
        saving.save(encoder, order.source, staging, description.export_id)
        folder.write_description(staging, description)
        del encoder
        gc.collect()
        found = _compare(staging, chosen, questions)
        _check(found, order)
        measured = speed.measure(order.source, staging, pictures.encoder_inputs(chosen.judges[0], source.image_size))
        folder.write_description(staging, _with_measures(description, source, chosen, found))
    return Outcome(chosen, found, measured)


def _checked(order: Order) -> Description:
    folder.checked_model_id(order.model_id or "any")
    folder.check_output(order.output, force=order.force)
    if order.output.resolve() == order.source.resolve():
        raise OutputError(f"{order.output} is the folder to quantize.", "Choose another --output.")
    read_info(order.source)  # as thorough as the service's start
    source = folder.read_description(order.source)
    if source.precision == "int8":
        raise ModelFolderError(f"{order.source} is quantized already.", "Give the folder that it was made from.")
    return source


def _questions(source: Path, chosen: Pictures) -> list[list[Asked]]:
    model = agreement.load(read_info(source))
    return agreement.ask(model, _shown(chosen.judges, "masks in f32"))


def _quantized(source: Path, description: Description, chosen: Pictures) -> openvino.Model:
    encoder = openvino.Core().read_model(source / "encoder.xml")
    inputs = _Again(chosen.calibration, "calibration")
    return nncf_encoder.quantize(
        encoder, inputs, len(inputs), lambda path: pictures.encoder_inputs(path, description.image_size)
    )


def _describe(source: Description, order: Order, encoder: openvino.Model) -> Description:
    return replace(
        source,
        model_id=order.model_id or source.model_id,
        precision="int8",
        export_id=_export_id(source, encoder),
    )


def _export_id(source: Description, encoder: openvino.Model) -> str:
    """Other weights, another id: what one calibration's encoder made must not be decoded as another's."""
    state = hashlib.sha256(source.export_id.encode())
    for node in encoder.get_ordered_ops():
        if node.get_type_name() == "Constant":
            state.update(node.data.tobytes())
    return state.hexdigest()[:16]


def _compare(staging: Path, chosen: Pictures, questions: list[list[Asked]]) -> Agreement:
    model = agreement.load(read_info(staging))
    return agreement.compare(model, _shown(chosen.judges, "masks in int8"), questions)


def _check(found: Agreement, order: Order) -> None:
    if found.mean >= order.min_iou and found.p5 >= order.min_p5:
        return
    raise AgreementError(
        f"The quantized model's masks are too far from those in f32: IoU {found.mean:.4f} in the mean, "
        f"{found.p5:.4f} at the 5th percentile of {found.prompts} prompts; the limits are {order.min_iou:g} and "
        f"{order.min_p5:g}. Nothing was written.",
        "Give more images, and such as will be labeled (--images, --limit), or accept less (--min-iou, --min-p5).",
    )


def _with_measures(description: Description, source: Description, chosen: Pictures, found: Agreement) -> Description:
    measures = {
        "quantized_from": source.export_id,
        "calibration_images": len(chosen.calibration),
        "mean_iou": found.mean,
        "p5_iou": found.p5,
        "prompts": found.prompts,
        "judged_apart": chosen.apart,
    }
    tools = description.tools | {"nncf": folder.version("nncf")}
    return replace(description, quantization=measures, tools=tools)


def _shown(paths: Sequence[Path], title: str) -> Iterator[Path]:
    return iter(tqdm(paths, desc=title, unit="image"))


class _Again:
    """Paths, with a bar of progress each time that they are iterated over."""

    def __init__(self, paths: Sequence[Path], title: str) -> None:
        self._paths = paths
        self._title = title

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Path]:
        return _shown(self._paths, self._title)
