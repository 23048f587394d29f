"""The demo's project: example images to click in, connected to the backend; and what to try there."""

from pathlib import Path

from examples.demo.label_studio import Credentials, LabelStudio

EXAMPLES = Path(__file__).resolve().parents[1]
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
Keys do nothing while a switch has the focus: click anywhere else first."""


def connected_project(studio: LabelStudio, backend_url: str, credentials: Credentials | None = None) -> int:
    """The demo's project, made on the first start, connected to the backend."""
    project = studio.find_project(TITLE)
    if project is None:
        project = studio.create_project(TITLE, (EXAMPLES / "label_configs" / "brush.xml").read_text())
        for image in sorted((EXAMPLES / "images").glob("*.jpg")):
            studio.upload(project, image.name, image.read_bytes())
    studio.connect(project, backend_url, credentials=credentials)
    return project


def guide(studio: LabelStudio, project: int, backend_url: str, password: str, url: str | None = None) -> str:
    """Where to click, and how; `url` is Label Studio's address for people, if it has another one for them."""
    tasks = studio.tasks(project)
    return GUIDE.format(
        url=url or studio.url,
        project=project,
        task=tasks[0]["id"] if tasks else "",
        email=studio.login.email,
        password=password,
        backend=backend_url,
    )
