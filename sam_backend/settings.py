"""The settings: read from the environment once, at start, and passed on as one frozen value.

Names that the Label Studio ecosystem already has are kept; ours begin with `SAM_`. A value out of range and an unknown
`SAM_` name both stop the start: a typo must not wait for the first click to show itself.
"""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from sam_backend.answer_settings import AnswerSettings
from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.errors import SettingError

BUILTIN_MODEL = "builtin"
SECRETS = frozenset({"LABEL_STUDIO_API_KEY", "BASIC_AUTH_PASS"})


def _at_least_one_byte(value: ByteSize) -> ByteSize:
    if value < 1:
        raise ValueError("must be at least 1 byte")
    return value


def _web_url(value: str) -> str:
    if value:
        TypeAdapter(HttpUrl).validate_python(value)
    return value.rstrip("/")


Bytes = Annotated[ByteSize, AfterValidator(_at_least_one_byte)]
Url = Annotated[str, AfterValidator(_web_url)]


class ServiceSettings(BaseModel):
    """The settings of the service: whom it talks to, what it serves, how much of a thing it takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    label_studio_url: Url = Field(
        "",
        validation_alias="LABEL_STUDIO_URL",
        description=(
            "Label Studio's address; relative image paths are fetched from here, and `LABEL_STUDIO_API_KEY` "
            "goes here alone. Empty: the host that `/setup` names, with the token that it sends."
        ),
    )
    label_studio_api_key: SecretStr = Field(
        SecretStr(""),
        validation_alias="LABEL_STUDIO_API_KEY",
        description="Legacy token or personal access token for `LABEL_STUDIO_URL`.",
    )
    basic_auth_user: str = Field(
        "",
        validation_alias="BASIC_AUTH_USER",
        description="User that callers of the backend must give (with `BASIC_AUTH_PASS`). Empty: no authentication.",
    )
    basic_auth_pass: SecretStr = Field(
        SecretStr(""),
        validation_alias="BASIC_AUTH_PASS",
        description="The password that belongs to `BASIC_AUTH_USER`.",
    )
    host: str = Field(
        "127.0.0.1",
        validation_alias="SAM_HOST",
        description="Address to listen on; `0.0.0.0` lets other machines in, then set `BASIC_AUTH_USER` too.",
    )
    port: int = Field(
        9090,
        ge=1,
        le=65535,
        validation_alias="PORT",
        description="Port to listen on.",
    )
    threads: int = Field(
        8,
        ge=1,
        le=256,
        validation_alias="SAM_THREADS",
        description="Requests that are answered at the same time.",
    )
    model: str = Field(
        BUILTIN_MODEL,
        min_length=1,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        validation_alias="SAM_MODEL",
        description="Model to serve: `builtin`, or the name of a folder in `SAM_MODEL_DIR`.",
    )
    model_dir: Path = Field(
        Path("models"),
        validation_alias="SAM_MODEL_DIR",
        description="Folder of exported models, one sub-folder each.",
    )
    device: str = Field(
        "CPU",
        pattern=r"^[A-Z]+(\.\d+)?(:[A-Z0-9.,]+)?$",
        validation_alias="SAM_DEVICE",
        description="OpenVINO device: `CPU`, `GPU`, `NPU`, `AUTO`.",
    )
    precision: Literal["f32", "bf16", "f16"] = Field(
        "f32",
        validation_alias="SAM_PRECISION",
        description="Arithmetic that OpenVINO is asked for: `f32`, `bf16` or `f16`.",
    )
    inference_threads: int = Field(
        0,
        ge=0,
        le=1024,
        validation_alias="SAM_INFERENCE_THREADS",
        description="CPU threads for one inference; `0`: as many as OpenVINO thinks best.",
    )
    memory_cache: Bytes = Field(
        ByteSize(1024**3),
        validation_alias="SAM_MEMORY_CACHE",
        description="Memory for embeddings (vit_b: 4 MiB an image).",
    )
    cache_dir: Path | None = Field(
        None,
        validation_alias="SAM_CACHE_DIR",
        description="Folder where embeddings outlive a restart; several processes may share it. Empty: none.",
    )
    disk_cache: Bytes = Field(
        ByteSize(10 * 1024**3),
        validation_alias="SAM_DISK_CACHE",
        description="Disk space for embeddings in `SAM_CACHE_DIR`; those used longest ago go first.",
    )
    warm_queue: int = Field(
        64,
        ge=0,
        le=100_000,
        validation_alias="SAM_WARM_QUEUE",
        description="Opened tasks that may wait for their embedding in the background; `0` turns warming off.",
    )
    max_image_bytes: Bytes = Field(
        ByteSize(100 * 1024**2),
        validation_alias="SAM_MAX_IMAGE_BYTES",
        description="Largest image file.",
    )
    max_image_pixels: int = Field(
        100_000_000,
        ge=1,
        validation_alias="SAM_MAX_IMAGE_PIXELS",
        description="Most pixels of an image.",
    )
    image_timeout: float = Field(
        20.0,
        gt=0,
        le=600,
        validation_alias="SAM_IMAGE_TIMEOUT",
        description="Seconds that fetching an image may take in all.",
    )
    max_body_bytes: Bytes = Field(
        ByteSize(256 * 1024**2),
        validation_alias="SAM_MAX_BODY_BYTES",
        description="Largest request body.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO",
        validation_alias="SAM_LOG_LEVEL",
        description="Least severe messages that are logged.",
    )


class Settings(AnswerSettings, ServiceSettings):
    """All settings. A field's validation alias is its environment variable, its description the line in the README.

    Those of automatic mode stand apart: a project's `extra_params` take their place.
    """

    automatic: AutomaticSettings = Field(default_factory=AutomaticSettings)

    @model_validator(mode="after")
    def _user_and_password_together(self) -> Self:
        if bool(self.basic_auth_user) != bool(self.basic_auth_pass.get_secret_value()):
            raise ValueError("BASIC_AUTH_USER and BASIC_AUTH_PASS must be set together")
        return self

    @model_validator(mode="after")
    def _key_has_an_address(self) -> Self:
        if self.label_studio_api_key.get_secret_value() and not self.label_studio_url:
            raise ValueError("LABEL_STUDIO_API_KEY needs LABEL_STUDIO_URL: a token is sent to one named origin only")
        return self


def environment_fields() -> dict[str, FieldInfo]:
    """Each setting's field, by its environment variable."""
    fields = [*Settings.model_fields.values(), *AutomaticSettings.model_fields.values()]
    return {str(field.validation_alias): field for field in fields if field.validation_alias}


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. An empty variable counts as unset.

    Raises:
        SettingError: a value is out of range, or a `SAM_` name is unknown.
    """
    known = set(environment_fields())
    _refuse_unknown({name for name in environ if name.startswith("SAM_")} - known, known)
    given = {name: environ[name] for name in known if environ.get(name)}
    automatic = {str(field.validation_alias) for field in AutomaticSettings.model_fields.values()}
    try:
        return Settings.model_validate(
            {name: value for name, value in given.items() if name not in automatic}
            | {"automatic": {name: value for name, value in given.items() if name in automatic}}
        )
    except ValidationError as error:
        raise SettingError(complaint(error), "See the settings in the README.") from None


def _refuse_unknown(unknown: set[str], known: set[str]) -> None:
    if unknown:
        name = min(unknown)
        nearest = difflib.get_close_matches(name, known, n=1)
        raise SettingError(f"{name} is not a setting.", f"Did you mean {nearest[0]}?" if nearest else "Unset it.")


def complaint(error: ValidationError) -> str:
    """What pydantic complains of first, in one line: the name, the value unless it is secret, what is wrong."""
    first = error.errors(include_url=False, include_context=False)[0]
    names = [str(part) for part in first["loc"] if part != "automatic"]
    said = first["msg"].removeprefix("Value error, ")
    if not names:
        return f"{said}."
    shown = "" if names[0] in SECRETS else f" = {first['input']!r}"
    return f"{'.'.join(names)}{shown}: {said}."
