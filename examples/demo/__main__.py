"""`make demo`: Label Studio and the backend on this machine, with a project to click in, until Ctrl+C.

LABEL_STUDIO_PORT (8080) and PORT (9090) choose the ports, BACKEND_BIN the backend. The state is kept in `.demo/`.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from examples.demo.backend import sam_backend
from examples.demo.label_studio import LabelStudio, LabelStudioError, Login, kept_login, label_studio
from examples.demo.servers import ServerError, interrupt_on_terminate, require_free

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".demo"
TITLE = "Still lifes"

GUIDE = """
Label Studio   {url}/projects/{project}/data?task={task}
Login          {email}
Password       {password}
Backend        {backend}

What to try, with a picture open:
  1. Switch on "Auto-Annotation", below the picture. The switch beside it accepts each suggestion at once.
  2. Click the Auto-Detect tool, the last one in the bar at the right (key: M). Take a label under "Click" (key: 1),
     and click on the apple.
  3. Take the label again, and click to add to the mask, or Alt+click to take something away.
  4. Accept the suggestion with the tick below the picture, then Submit.
  5. For a box, click the Auto-Detect tool until it shows a rectangle, take a label under "Box", and drag. Clicks with
     its label improve it: inside the box hold Ctrl, where a click alone would select it.
  6. Ctrl+click beside a mask that was accepted adds to it, Ctrl+Alt+click on it cuts a piece off.

Label Studio lets go of a label after each click. Settings (below the picture) can keep it selected.
Keys do nothing while a switch has the focus: click anywhere else first.
Ctrl+C stops both."""


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
        project = _project(studio, url)
        print(_guide(studio, login, project, url), flush=True)
        _wait({"Label Studio": studio_process, "The backend": process})


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise ServerError(f"{variable}={text} is not a port: give a number from 1 to 65535.")
    return int(text)


def _project(studio: LabelStudio, backend_url: str) -> int:
    """The demo's project, made on the first start, connected to the backend."""
    project = studio.find_project(TITLE)
    if project is None:
        label_config = (ROOT / "examples" / "label_configs" / "brush.xml").read_text()
        project = studio.create_project(TITLE, label_config)
        for image in sorted((ROOT / "examples" / "images").glob("*.jpg")):
            studio.upload(project, image.name, image.read_bytes())
    studio.connect(project, backend_url)
    return project


def _guide(studio: LabelStudio, login: Login, project: int, backend_url: str) -> str:
    tasks = studio.tasks(project)
    return GUIDE.format(
        url=studio.url,
        project=project,
        task=tasks[0]["id"] if tasks else "",
        email=login.email,
        password=login.password,
        backend=backend_url,
    )


def _wait(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """Wait for ever; ServerError as soon as one of the processes ends."""
    while True:
        for name, process in processes.items():
            if process.poll() is not None:
                raise ServerError(f"{name} stopped with exit code {process.returncode}; its log is in {STATE}.")
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
