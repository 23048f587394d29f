"""Write a graph with its export's mark. It needs no torch."""

from pathlib import Path

import openvino

from model_export.errors import OutputError
from model_export.folder import EXPORT_ID_PATH


def write_graph(model: openvino.Model, path: Path, export_id: str, *, half_precision: bool) -> None:
    """Write `path` (.xml) and its .bin, marked with the export's id.

    Args:
        model: the graph.
        path: where to.
        export_id: the mark.
        half_precision: store weights of f32 in f16.

    Raises:
        OutputError: the disk refuses.
    """
    model.set_rt_info(export_id, EXPORT_ID_PATH)
    try:
        openvino.save_model(model, path, compress_to_fp16=half_precision)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise OutputError(f"{path} cannot be written: {reason}.", "Choose another --output.") from None
