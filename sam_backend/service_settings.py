"""The settings of the service; `sam_backend.settings` reads them."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr

from sam_backend.setting_types import Bytes, Networks, Url

BUILTIN_MODEL = "builtin"


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
    protect_status: bool = Field(
        False,
        validation_alias="SAM_PROTECT_STATUS",
        description="Ask for `BASIC_AUTH_USER` on `/health`, `/ready` and `/metrics` too; else anyone may read them.",
    )
    host: str = Field(
        "127.0.0.1",
        validation_alias="SAM_HOST",
        description=(
            "Address to listen on; `0.0.0.0` lets other machines in, then set `BASIC_AUTH_USER` too. Without it, a "
            "Label Studio in a private network has to be named by `LABEL_STUDIO_URL`: `/setup` is not enough there."
        ),
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
        description="Clicks that are answered at the same time.",
    )
    click_queue: int = Field(
        32,
        ge=0,
        le=1024,
        validation_alias="SAM_CLICK_QUEUE",
        description="Clicks that may wait for that; more are answered with 503 and `Retry-After` at once.",
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
        description="OpenVINO device: `CPU`, `GPU`, `NPU` (the encoder alone, the decoder stays on the CPU), `AUTO`.",
    )
    precision: Literal["auto", "f32", "bf16", "f16"] = Field(
        "auto",
        validation_alias="SAM_PRECISION",
        description=(
            "Arithmetic that OpenVINO is asked for: `f32`, `bf16`, `f16`, or `auto`: `bf16` on a CPU that has it, else "
            "`f32`; `f16` on a GPU. `/health` says which. It is a part of the model's version."
        ),
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
        description=(
            "Folder where embeddings, and what was said of projects and prompts, outlive a restart; several processes "
            "may share it. Empty: none."
        ),
    )
    disk_cache: Bytes = Field(
        ByteSize(10 * 1024**3),
        validation_alias="SAM_DISK_CACHE",
        description="Disk space for embeddings in `SAM_CACHE_DIR`; those used longest ago go first.",
    )
    redis_url: SecretStr = Field(
        SecretStr(""),
        validation_alias="SAM_REDIS_URL",
        description=(
            "Redis (`redis://`, `rediss://`, `unix://`) through which replicas share embeddings, each image encoded "
            "once among all of them, and what was said of projects and prompts. While it is gone, each goes on alone. "
            "Empty: none."
        ),
    )
    redis_seconds: int = Field(
        7 * 86_400,
        ge=60,
        le=366 * 86_400,
        validation_alias="SAM_REDIS_SECONDS",
        description="Seconds for which Redis keeps an embedding after it was last asked for.",
    )
    warm_queue: int = Field(
        64,
        ge=0,
        le=100_000,
        validation_alias="SAM_WARM_QUEUE",
        description="Opened tasks that may wait for their embedding in the background; `0` turns warming off.",
    )
    warm_next: int = Field(
        2,
        ge=0,
        le=100,
        validation_alias="SAM_WARM_NEXT",
        description=(
            "How many of the next unlabeled tasks of the project are warmed after the opened one; needs a token for "
            "Label Studio. `0`: none."
        ),
    )
    retrieve_seconds: float = Field(
        90.0,
        gt=0,
        le=86_400,
        validation_alias="SAM_RETRIEVE_SECONDS",
        description=(
            "Seconds after which `Retrieve predictions` is answered, in automatic mode, with what is ready. Label "
            "Studio waits for 100; the rest is worked off meanwhile, and comes when it is pressed again."
        ),
    )
    open_seconds: float = Field(
        3.0,
        gt=0,
        le=86_400,
        validation_alias="SAM_OPEN_SECONDS",
        description="The same for a single task: the page waits so long where it is opened.",
    )
    automatic_cache: Bytes = Field(
        ByteSize(256 * 1024**2),
        validation_alias="SAM_AUTOMATIC_CACHE",
        description="Memory for predictions of automatic mode that Label Studio has yet to ask for.",
    )
    automatic_queue: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        validation_alias="SAM_AUTOMATIC_QUEUE",
        description="Tasks that may wait to be labeled in the background.",
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
    image_fresh: float = Field(
        60.0,
        ge=0,
        le=86_400,
        validation_alias="SAM_IMAGE_FRESH",
        description=(
            "Seconds for which clicks do not ask again whether an address still shows the same image; opening the task "
            "asks. `0`: each click asks."
        ),
    )
    image_networks: Networks = Field(
        (),
        validation_alias="SAM_IMAGE_NETWORKS",
        description=(
            "Networks that images may come from beside the public internet and Label Studio, with commas between them: "
            "`10.1.0.0/16,192.168.1.5`. Others that are not public are refused, in redirects too."
        ),
    )
    max_body_bytes: Bytes = Field(
        ByteSize(256 * 1024**2),
        validation_alias="SAM_MAX_BODY_BYTES",
        description="Largest request body.",
    )
    body_seconds: float = Field(
        60.0,
        ge=1,
        le=3600,
        validation_alias="SAM_BODY_SECONDS",
        description="Seconds that a request's body may take to arrive in all; its headers have these too, 10 at most.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO",
        validation_alias="SAM_LOG_LEVEL",
        description="Least severe messages that are logged.",
    )
