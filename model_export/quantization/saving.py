"""Write a quantized model's folder: its own encoder, and the decoder's parts as they were, under a new mark."""

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import openvino

from model_export.folder import EXPORT_ID_PATH
from model_export.graphs import write_graph
from sam_backend.sam.folder import PARTS


def save(encoder: openvino.Model, source: Path, target: Path, export_id: str) -> None:
    """Write all of a model folder but `model.json`.

    Args:
        encoder: the quantized one.
        source: the folder that has the other parts.
        target: the folder to write to.
        export_id: the mark of all parts.

    Raises:
        OutputError: the disk refuses.
    """
    write_graph(encoder, target / "encoder.xml", export_id, half_precision=False)
    for half in set(PARTS.values()) - {"encoder"}:
        shutil.copyfile(source / f"{half}.bin", target / f"{half}.bin")
    for part, half in PARTS.items():
        if half != "encoder":
            _copy_graph(source / f"{part}.xml", target / f"{part}.xml", export_id)


def _copy_graph(source: Path, target: Path, export_id: str) -> None:
    document = ET.parse(source)  # noqa: S314 - the folder is the user's own
    mark = document.find("./rt_info/" + "/".join(EXPORT_ID_PATH))
    if mark is not None:  # the service's reader found it there a moment ago
        mark.set("value", export_id)
    document.write(target)
