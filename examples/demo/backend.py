"""The backend on the loopback."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from examples.demo.servers import LOOPBACK, Server, ServerError, running

START_SECONDS = 120.0

# Of the caller's settings those stay that choose the model and how it runs; who may talk to whom is settled here.
ENVIRONMENT = {
    "SAM_HOST": LOOPBACK,
    "LABEL_STUDIO_URL": "",
    "LABEL_STUDIO_API_KEY": "",
    "BASIC_AUTH_USER": "",
    "BASIC_AUTH_PASS": "",
}


@contextlib.contextmanager
def sam_backend(
    root: Path, port: int, log: Path, settings: Mapping[str, str]
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The URL and the process of a backend on the loopback; `root` is the repository's top folder."""
    environment = dict(os.environ)
    # No setting of the backend's, which refuses what it doesn't know.
    executable = Path(environment.pop("BACKEND_BIN", "") or root / ".venv" / "bin" / "sam-backend")
    if not executable.is_file():
        raise ServerError(f"There is no {executable}. `make run` makes it; BACKEND_BIN names another.")
    url = f"http://{LOOPBACK}:{port}"
    server = Server(
        name="The backend",
        command=[executable, "serve"],
        environment={**environment, **ENVIRONMENT, **settings, "PORT": str(port)},
        ready_url=f"{url}/health",
        log=log,
        start_seconds=START_SECONDS,
    )
    with running(server) as process:
        yield url, process
