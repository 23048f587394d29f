"""Everything that can go wrong, by name.

    SamBackendError
    ├── StartError                 the service stops at start, exit code 2
    │   ├── SettingError           a setting is unknown or out of range
    │   ├── ModelFolderError       a model folder is missing, broken or made of two halves
    │   ├── PortTakenError         something listens there already
    │   └── JobError               a bulk job cannot start, or go on
    ├── RequestError               the request is wrong; nothing was done                      400
    │   ├── BodyError              the body is not the JSON that is expected                   400
    │   ├── TaskError              a task lacks what the label config asks for                 400
    │   ├── PromptError            a prompt that has no meaning on this image                  400
    │   ├── LabelConfigError       the label config has no way in or no way out                422
    │   ├── ExtraParamsError       a parameter of the model connection is unknown or wrong     422
    │   ├── BodyTooLargeError      the body is larger than the limit                           413
    │   ├── SlowRequestError       headers or body did not arrive in time                      408
    │   ├── CredentialsError       the backend's own user or password is wrong                 401
    │   └── WebPageError           a page in somebody's browser sent it, not a server          403
    ├── ImageError                 the picture could not be had or read
    │   ├── ImageUrlError          an address that we do not fetch from                        400
    │   ├── ImageTooLargeError     more bytes or pixels than the limits allow                  413
    │   ├── ImageUnreadableError   not an image, or a broken one                               422
    │   ├── ImageUnavailableError  the server answered with an error, or not at all            502
    │   └── ImageTimeoutError      the server was too slow                                     504
    ├── LabelStudioError           Label Studio cannot be had, or refuses its token            502
    │   └── RefusedError           Label Studio does not take this, but may take something else 502
    ├── BusyError                  too many clicks wait already; nothing was done              503
    ├── GoneError                  nobody waits for the answer any more; nothing was done      499
    ├── OutputError                a file cannot be written                                    500
    └── ModelError                 OpenVINO failed                                             500

`sam_backend.serving.server` maps each to its HTTP status by the attribute `status`.
"""


class SamBackendError(Exception):
    """The root. `message` names the value that was wrong, `remedy` says what to do next; both are one line."""

    status = 500

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class StartError(SamBackendError):
    """The service cannot start."""


class SettingError(StartError):
    """A setting is unknown or out of range."""


class ModelFolderError(StartError):
    """A model folder is missing, broken, or its two halves don't belong together."""


class PortTakenError(StartError):
    """The port cannot be listened on."""


class JobError(StartError):
    """A bulk job cannot start, or go on: nothing to label, an output in the way, a part that is not installed."""


class RequestError(SamBackendError):
    """The request is wrong; nothing was done."""

    status = 400


class BodyError(RequestError):
    """The body is not the JSON that is expected here."""


class TaskError(RequestError):
    """A task lacks what the label config asks for."""


class PromptError(RequestError):
    """A prompt that has no meaning on this image."""


class LabelConfigError(RequestError):
    """The label config has no prompt to read or no control to answer with."""

    status = 422


class ExtraParamsError(RequestError):
    """A parameter of automatic mode, in the model connection's `extra_params` as a rule, is unknown or wrong."""

    status = 422


class BodyTooLargeError(RequestError):
    """The body is larger than `SAM_MAX_BODY_BYTES`."""

    status = 413


class SlowRequestError(RequestError):
    """Headers or body did not arrive in time."""

    status = 408


class CredentialsError(RequestError):
    """The backend's own user or password is missing or wrong."""

    status = 401


class WebPageError(RequestError):
    """A page in somebody's browser sent it, not a server."""

    status = 403


class ImageError(SamBackendError):
    """The picture could not be had or read."""

    status = 502


class ImageUrlError(ImageError):
    """An address that we do not fetch from."""

    status = 400


class ImageTooLargeError(ImageError):
    """More bytes or pixels than the limits allow."""

    status = 413


class ImageUnreadableError(ImageError):
    """Not an image, or a broken one."""

    status = 422


class ImageUnavailableError(ImageError):
    """The image's server answered with an error, or not at all."""


class ImageTimeoutError(ImageError):
    """The image's server was too slow."""

    status = 504


class LabelStudioError(SamBackendError):
    """Label Studio cannot be had, or refuses its token: a bulk job stops. `answered` is its HTTP status, if any."""

    status = 502

    def __init__(self, message: str, remedy: str = "", answered: int = 0) -> None:
        super().__init__(message, remedy)
        self.answered = answered


class RefusedError(LabelStudioError):
    """Label Studio does not take this, but may take something else: a task was deleted, for one."""


class BusyError(SamBackendError):
    """Too many clicks wait already; nothing was done."""

    status = 503


class GoneError(SamBackendError):
    """Nobody waits for the answer any more; nothing was done. The status is nginx's for it, and nobody's to read."""

    status = 499


class OutputError(SamBackendError):
    """A file cannot be written."""


class ModelError(SamBackendError):
    """OpenVINO failed."""
