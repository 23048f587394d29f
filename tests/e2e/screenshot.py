"""The README's picture of the labeling page, made again: `python -m tests.e2e.screenshot docs/images/label-studio.png`.

Needs what `make e2e` makes: its environment, the service's (or BACKEND_BIN), Chromium.
"""

import contextlib
import sys
import tempfile
from pathlib import Path

from examples.demo.backend import sam_backend
from examples.demo.label_studio import LabelStudio, kept_login, label_studio
from examples.demo.scenes import fruit
from examples.demo.servers import free_port, interrupt_on_terminate
from tests.e2e.browser import BOXES, POINTS, LabelingPage, start_browser
from tests.e2e.masks import box, middle

ROOT = Path(__file__).resolve().parents[2]


def take(studio: LabelStudio, backend_url: str, picture: Path) -> None:
    """Two accepted masks, a third one suggested with its click and its Alt+click."""
    leaf, apple, pear, orange, *_ = fruit().visible
    project = studio.create_project("Still lifes", (ROOT / "examples" / "label_configs" / "brush.xml").read_text())
    for image in ("fruit.jpg", "leaves.jpg", "pebbles.jpg", "upright.jpg"):
        studio.upload(project, image, (ROOT / "examples" / "images" / image).read_bytes())
    studio.connect(project, backend_url)
    browser = start_browser()
    try:
        page = LabelingPage(browser, studio)
        page.log_in()
        page.open_task(project, studio.tasks(project)[0]["id"])
        for label, thing in (("rectangle:Leaf", leaf), ("rectangle:Fruit", orange)):
            page.choose(BOXES, label)
            page.drag(*box(thing))
            page.suggestion()
            page.accept()
        page.choose(POINTS, "keypoint:Fruit")
        page.click(*middle(apple))
        one = page.suggestion()
        page.choose(POINTS, "keypoint:Fruit")
        page.click(*middle(pear), alt=True)
        page.suggestion(after=one)
        browser.save_screenshot(str(picture))
    finally:
        browser.quit()


def main(picture: Path) -> None:
    interrupt_on_terminate()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        login = kept_login(folder / "login.json")
        studio, _ = stack.enter_context(label_studio(folder / "label-studio", free_port(), login))
        url, _ = stack.enter_context(sam_backend(ROOT, free_port(), folder / "sam-backend.log", {}))
        take(studio, url, picture)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
