"""The labeling page used as an annotator uses it: real clicks, real keys."""

from collections.abc import Sequence

from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from examples.demo.label_studio import LabelStudio
from tests.e2e.browser import do, wait_for
from tests.e2e.editor import Editor, Suggestion

POINTS, BOXES = "KeyPointTool-dynamic", "RectangleTool-dynamic"


class LabelingPage:
    """The labeling page of a running Label Studio. Coordinates are pixels of the image as `Editor` has them."""

    def __init__(self, browser: Chrome, label_studio: LabelStudio) -> None:
        self.browser = browser
        self.editor = Editor(browser)
        self._label_studio = label_studio

    def log_in(self) -> None:
        self.browser.get(f"{self._label_studio.url}/user/login/")
        self.browser.find_element(By.NAME, "email").send_keys(self._label_studio.login.email)
        self.browser.find_element(By.NAME, "password").send_keys(self._label_studio.login.password, Keys.ENTER)
        wait_for(lambda: "/user/login" not in self.browser.current_url, "page after the login")

    def open_task(self, project: int, task: int, *, auto_annotation: bool = True, auto_accept: bool = False) -> None:
        """Open a task of a project with a backend, and set the two switches below the image."""
        self.show_task(project, task)
        self._switch("bottombar-auto-annotation-toggle", on=auto_annotation)
        if auto_annotation:
            self._switch("bottombar-auto-accept-toggle", on=auto_accept)

    def show_task(self, project: int, task: int) -> None:
        """Open a task."""
        self.browser.get(f"{self._label_studio.url}/projects/{project}/data?task={task}")
        wait_for(lambda: self.editor.is_shown, "image on the labeling page")

    def choose(self, tool: str, label: str) -> None:
        """Take a smart tool and a label ("keypoint:Fruit"), as an annotator does before each prompt."""
        self._take(tool)
        if self.editor.selected_labels != [label]:
            # By mouse: keys do nothing as long as one of the switches has the focus.
            do(lambda: self._label(label).click(), label)
        wait_for(lambda: (self.editor.smart_tool, self.editor.selected_labels) == (tool, [label]), f"{tool}, {label}")

    def click(self, x: float, y: float, *, alt: bool = False, ctrl: bool = False) -> None:
        """Click on the image; with Alt the point is negative, with Ctrl it may fall on a region."""
        held = [key for key, is_held in ((Keys.ALT, alt), (Keys.CONTROL, ctrl)) if is_held]
        actions = ActionChains(self.browser, duration=60)
        # The two devices advance tick by tick together: beside each step of one stands a pause of the other.
        pointer, keys = actions.w3c_actions.pointer_action, actions.w3c_actions.key_action
        pointer.move_to_location(*self.editor.on_screen(x, y))
        keys.pause()
        for key in held:
            pointer.pause()
            keys.key_down(key)
        pointer.pointer_down()
        keys.pause()
        pointer.pointer_up()
        keys.pause()
        for key in held:
            pointer.pause()
            keys.key_up(key)
        actions.perform()

    def drag(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Drag from one corner of a box to the other."""
        actions = ActionChains(self.browser, duration=120)
        pointer = actions.w3c_actions.pointer_action
        pointer.move_to_location(*self.editor.on_screen(x0, y0))
        pointer.pointer_down()
        pointer.move_to_location(*self.editor.on_screen((x0 + x1) / 2, (y0 + y1) / 2))
        pointer.move_to_location(*self.editor.on_screen(x1, y1))
        pointer.pointer_up()
        actions.perform()

    def suggestions(self, *, after: Sequence[Suggestion] = ()) -> list[Suggestion]:
        """What is suggested, once it is something other than `after`."""
        return wait_for(lambda: found if (found := self.editor.suggestions) != list(after) else None, "suggestion")

    def suggestion(self, *, after: Suggestion | None = None) -> Suggestion:
        """The one suggestion on the page, once there is one other than `after`."""
        found = self.suggestions(after=[after] if after else [])
        assert len(found) == 1, [region.id for region in found]
        return found[0]

    def accept(self) -> None:
        """Accept the suggestions, and wait until they are regions and their prompts are gone."""
        self._press("bottombar-accept-suggestions-button")
        wait_for(lambda: not self.editor.suggestions, "end of the suggestion")
        wait_for(lambda: not any(region.prompt for region in self.editor.regions), "end of the prompts")

    def reject(self) -> None:
        """Reject the suggestion, and wait until it and its prompts are gone."""
        self._press("bottombar-reject-suggestions-button")
        wait_for(lambda: not self.editor.suggestions and not self.editor.regions, "clean picture")

    def rotate(self) -> None:
        """Turn the view by 90°, clockwise."""
        before = self.editor.rotation
        do(lambda: self._find('[aria-label="rotate-right"]').click(), "button that turns the view")
        wait_for(lambda: self.editor.rotation == (before + 90) % 360, "turned view")

    def next_image(self) -> None:
        """Go to the next image of a task that has several."""
        before = self.editor.item
        forward = ".lsf-pagination__btn_arrow-right:not(.lsf-pagination__btn_arrow-right-double)"
        do(lambda: self._find(forward).click(), "button of the next image")
        wait_for(lambda: self.editor.item == before + 1 and self.editor.is_shown, "next image")

    def submit(self) -> None:
        """Save a new annotation."""
        self._press("bottombar-submit-button")

    def update(self) -> None:
        """Save an annotation that was opened."""
        self._press("bottombar-update-button")

    def _find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def _label(self, label: str) -> WebElement:
        return self.browser.find_elements(By.CSS_SELECTOR, ".lsf-label")[self.editor.labels.index(label)]

    def _button(self, test_id: str) -> WebElement:
        return self._find(f'[data-testid="{test_id}"]')

    def _press(self, test_id: str) -> None:
        do(lambda: self._button(test_id).click(), test_id)

    def _is_on(self, test_id: str) -> str:
        return "on" if self._button(test_id).is_selected() else "off"

    def _switch(self, test_id: str, *, on: bool) -> None:
        wanted = "on" if on else "off"
        if wait_for(lambda: self._is_on(test_id), test_id) != wanted:
            self._press(test_id)
        wait_for(lambda: self._is_on(test_id) == wanted, f"{test_id} {wanted}")

    def _take(self, tool: str) -> None:
        """Click the Auto-Detect button until it holds the tool: each click brings the next smart tool."""
        for _ in range(4):
            if self.editor.smart_tool == tool:
                return
            self._next_smart_tool()
        raise AssertionError(f"Auto-Detect never came to {tool}")

    def _next_smart_tool(self) -> None:
        before = self.editor.smart_tool
        do(lambda: self._find(".lsf-toolbar > :last-child .lsf-tool_smart").click(), "Auto-Detect")
        wait_for(lambda: self.editor.smart_tool != before, "next smart tool")
