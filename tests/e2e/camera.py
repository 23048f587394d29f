"""Pictures of the labeling page."""

import io
import time
from typing import Any

import numpy as np
from PIL import Image

from examples.demo.drawing import Bitmap, Drawing
from examples.demo.label_studio import LabelStudio
from tests.e2e.browser import wait_for
from tests.e2e.editor import Suggestion
from tests.e2e.labeling_page import BOXES, POINTS, LabelingPage
from tests.e2e.masks import Point, box
from tests.e2e.projects import add_task, jpeg, label_config

GAP = 8
MARGIN = 70
PAINTING_SECONDS = 1.0  # the canvas shows a moment later what the editor's store holds
LABELING_SECONDS = 300.0
TOP = 90  # what stands above the labels

Picture = Image.Image


class Camera:
    """Takes pictures of the labeling page in the middle of the work. Needs a Label Studio, a backend and a browser."""

    def __init__(self, page: LabelingPage, label_studio: LabelStudio, backend_url: str) -> None:
        self.page = page
        self.label_studio = label_studio
        self._backend_url = backend_url

    def open(self, *drawings: Drawing, config: str = "brush", lying: bool = False, auto_accept: bool = False) -> int:
        """Open a task of a new project; its id."""
        project = self.label_studio.create_project("Still lifes", label_config(config))
        task = add_task(self.label_studio, project, [jpeg(drawing, lying=lying) for drawing in drawings])
        self.label_studio.connect(project, self._backend_url)
        self.page.open_task(project, task, auto_accept=auto_accept)
        return task

    def open_labeled(self, drawing: Drawing, extra_params: dict[str, Any], config: str = "brush") -> None:
        """Open a task of a new project that automatic mode has labeled."""
        project = self.label_studio.create_project("Still lifes", label_config(config))
        task = add_task(self.label_studio, project, [jpeg(drawing)])
        self.label_studio.connect(project, self._backend_url, extra_params)
        path, options = f"/api/tasks/{task}", {"project": project}
        request = self.label_studio.request
        wait_for(lambda: request("GET", path, params=options)["predictions"], "prediction", LABELING_SECONDS)
        self.page.open_task(project, task, auto_annotation=False)

    def click(self, label: str, point: Point, *, alt: bool = False, ctrl: bool = False) -> Suggestion:
        """Click on a point; what is suggested then."""
        before = self.page.editor.suggestions
        self.page.choose(POINTS, label)
        self.page.click(*point, alt=alt, ctrl=ctrl)
        (found,) = self.page.suggestions(after=before)
        return found

    def draw(self, label: str, thing: Bitmap) -> Suggestion:
        """Draw a box around a thing; what is suggested then."""
        before = self.page.editor.suggestions
        self.page.choose(BOXES, label)
        self.page.drag(*box(thing))
        (found,) = self.page.suggestions(after=before)
        return found

    def window(self) -> Picture:
        """The labeling page without the list of tasks and the bar above."""
        picture = self._window()
        left = self.page.editor.image_box[0]
        return picture.crop((left - 15, TOP, picture.width, picture.height))

    def closeup(self, thing: Bitmap) -> Picture:
        """A thing in the image, with what stands on it."""
        rows, columns = np.nonzero(thing)
        corners = ((columns.min() - MARGIN, rows.min() - MARGIN), (columns.max() + MARGIN, rows.max() + MARGIN))
        (left, top), (right, bottom) = (self.page.editor.on_screen(*corner) for corner in corners)
        return self._window().crop((left, top, right, bottom))

    def _window(self) -> Picture:
        time.sleep(PAINTING_SECONDS)
        return Image.open(io.BytesIO(self.page.browser.get_screenshot_as_png())).convert("RGB")


def side_by_side(pictures: list[Picture]) -> Picture:
    """Pictures of one height in a row."""
    strip = Image.new("RGB", (sum(one.width + GAP for one in pictures) - GAP, pictures[0].height), "white")
    left = 0
    for one in pictures:
        strip.paste(one, (left, 0))
        left += one.width + GAP
    return strip
