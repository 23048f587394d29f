"""`make demo`: Label Studio and the backend on this machine, with a project to click in, until Ctrl+C.

LABEL_STUDIO_PORT (8080) and PORT (9090) choose the ports, BACKEND_BIN the backend. The state is kept in `.demo/`.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from examples.demo import still_lifes
from examples.demo.backend import sam_backend
from examples.demo.label_studio import LabelStudioError, kept_login, label_studio
from examples.demo.servers import ServerError, interrupt_on_terminate, require_free

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".demo"


def main() -> int:
    """Run until Ctrl+C (exit code 0) or until one of the two can't go on (1)."""
    interrupt_on_terminate()
    try:
        _run(_port("LABEL_STUDIO_PORT", 8080), _port("PORT", 9090))
    except (ServerError, LabelStudioError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. `make demo` starts it again as it was; deleting .demo/ forgets it.")
    return 0


def _run(label_studio_port: int, backend_port: int) -> None:
    require_free(label_studio_port, "LABEL_STUDIO_PORT")
    require_free(backend_port, "PORT")
    login = kept_login(STATE / "login.json")
    known = (STATE / "label-studio").exists()
    print("Starting Label Studio ..." if known else "Starting Label Studio, for the first time: about a minute ...")
    with contextlib.ExitStack() as servers:
        studio, studio_process = servers.enter_context(label_studio(STATE / "label-studio", label_studio_port, login))
        print("Starting the backend ...")
        own = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": login.token}
        url, process = servers.enter_context(sam_backend(ROOT, backend_port, STATE / "sam-backend.log", own))
        project = still_lifes.connected_project(studio, url)
        print(still_lifes.guide(studio, project, url, login.password), flush=True)
        print("Ctrl+C stops both.", flush=True)
        _wait({"Label Studio": studio_process, "The backend": process})


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise ServerError(f"{variable}={text} is not a port: give a number from 1 to 65535.")
    return int(text)


def _wait(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """Wait for ever; ServerError as soon as one of the processes ends."""
    while True:
        for name, process in processes.items():
            if process.poll() is not None:
                raise ServerError(f"{name} stopped with exit code {process.returncode}; its log is in {STATE}.")
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
