"""segment-anything's own functions, as oracles, where torchvision is missing too."""

import importlib
from typing import Any

from model_export.without_torchvision import import_segment_anything


def amg() -> Any:
    """The module of the automatic mask generator's functions."""
    import_segment_anything()
    return importlib.import_module("segment_anything.utils.amg")
