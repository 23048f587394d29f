"""Everything that can go wrong in an export, by name.

    ExportError
    ├── UnknownModelError          no such model in the registry, or an id that is no folder name
    ├── CheckpointError            the checkpoint cannot be used
    │   ├── DownloadError          it could not be downloaded in full
    │   ├── ChecksumError          it is not the file that was asked for
    │   └── CheckpointFormatError  it is truncated, no checkpoint at all, or that of another architecture
    ├── OutputError                the model folder cannot be written
    ├── ModelFolderError           the folder given is not a complete model folder, or of the wrong kind
    ├── ConversionError            OpenVINO could not convert the model
    ├── ParityError                torch and OpenVINO disagree
    ├── PicturesError              there is no image to quantize with
    └── AgreementError             the quantized model's masks are too far from those of the folder

The command line prints any of them as one line and leaves with exit code 1.
"""


class ExportError(Exception):
    """The root. `message` names what was wrong, `remedy` says what to do next; both are one line."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class UnknownModelError(ExportError):
    """No such model in the registry, or a model id that cannot name a folder."""


class CheckpointError(ExportError):
    """The checkpoint cannot be used."""


class DownloadError(CheckpointError):
    """The checkpoint could not be downloaded in full."""


class ChecksumError(CheckpointError):
    """The file is not the one that was asked for."""


class CheckpointFormatError(CheckpointError):
    """The file is truncated, is no checkpoint, or belongs to another architecture."""


class OutputError(ExportError):
    """The model folder cannot be written."""


class ModelFolderError(ExportError):
    """The folder is not a complete model folder."""


class ConversionError(ExportError):
    """OpenVINO could not convert the model."""


class ParityError(ExportError):
    """Torch and OpenVINO give different masks."""


class PicturesError(ExportError):
    """There is no image to work with."""


class AgreementError(ExportError):
    """The quantized model's masks are too far from those of the model that it was made from."""
