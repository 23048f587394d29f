"""segment-anything's models, importable where torchvision is missing or broken."""

import importlib.util
import sys
import types

from model_export.errors import ExportError


def import_segment_anything() -> None:
    """Make `segment_anything.modeling` and `segment_anything.build_sam` importable without torchvision.

    The package's `__init__` imports its predictor, which needs torchvision; the models need torch alone. So a bare
    package with the real search path takes the place of `__init__`, unless somebody imported the real one before.

    Raises:
        ExportError: segment-anything is not installed.
    """
    if "segment_anything" in sys.modules:
        return
    spec = importlib.util.find_spec("segment_anything")
    if spec is None or spec.submodule_search_locations is None:
        raise ExportError("segment-anything is not installed.", "Run: pip install -r requirements-export.txt")
    package = types.ModuleType("segment_anything")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    sys.modules["segment_anything"] = package
