"""The model that is served: which folder, on which device, in which arithmetic; compiled once."""

import threading
from pathlib import Path

from sam_backend.sam.device import best_precision, check_device
from sam_backend.sam.folder import ModelInfo, read_info
from sam_backend.sam.model import CompiledSam, compile_model
from sam_backend.service_settings import BUILTIN_MODEL
from sam_backend.settings import Settings


class ServedModel:
    """A model folder and how it is run. Making one reads and checks the folder, which is quick. Threads share it.

    Attributes:
        info: what the folder says.
        precision: the arithmetic: that of the settings, or what the device is best at.

    Raises:
        ModelFolderError: the folder is missing, broken, or made of parts of several exports.
        SettingError: there is no such device.
    """

    def __init__(self, settings: Settings) -> None:
        self.info: ModelInfo = read_info(model_folder(settings))
        check_device(settings.device)
        self.precision = best_precision(settings.device) if settings.precision == "auto" else settings.precision
        self._settings = settings
        self._compiled: CompiledSam | None = None
        self._compiling = threading.Lock()

    @property
    def version(self) -> str:
        """Model, the checkpoint's hash and the precision: equal versions give equal answers."""
        weights = self.info.checkpoint_sha256[:8]
        stored = "" if self.info.precision == "f32" else f"-{self.info.precision}"
        return f"{self.info.model_id}-{weights}{stored}-{self.precision}"

    @property
    def loaded(self) -> bool:
        """Whether it is compiled."""
        return self._compiled is not None

    def load(self) -> CompiledSam:
        """Compile it, once; a failure is raised to each caller, and the next one tries again.

        Raises:
            ModelError: OpenVINO refused.
        """
        with self._compiling:
            if self._compiled is None:
                settings = self._settings
                self._compiled = compile_model(self.info, settings.device, self.precision, settings.inference_threads)
            return self._compiled


def model_folder(settings: Settings) -> Path:
    """Where the model of these settings stands: beside this file for the built-in one, else in `SAM_MODEL_DIR`."""
    if settings.model == BUILTIN_MODEL:
        return Path(__file__).parent / BUILTIN_MODEL
    return settings.model_dir / settings.model
