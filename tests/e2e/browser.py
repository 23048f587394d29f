"""Label Studio's pages in a headless Chromium, used as an annotator uses them: real clicks, real keys.

What the page has come to is read from the editor's store (`Htx`), because it is exact; nothing is changed through it.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from selenium.common.exceptions import JavascriptException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from examples.demo.label_studio import LabelStudio

WAIT_SECONDS = 60.0
POLL_SECONDS = 0.1
WINDOW = (1600, 1000)
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # CI runs as root in a container
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    # Nothing but the loopback is reached, neither by the pages nor by Chromium itself.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
EDITOR = "const annotation = Htx.annotationStore.selected, image = annotation.objects[0];"
IMAGE_IS_SHOWN = "return !!(image.stageRef && image.naturalWidth > 1 && image.stageWidth > 1);"
SMART_TOOL = """const tool = image.getToolsManager().findSelectedTool();
    return tool && tool.dynamic ? tool.fullName : "";"""
FRAME = """const box = image.stageRef.container().getBoundingClientRect();
    return [box.left, box.top, image.stageWidth, image.stageHeight];"""
SUGGESTIONS = """return Array.from(annotation.suggestions.values()).map(region => ({
    id: region.cleanId || region.id, label: region.labelName, score: region.score, rle: Array.from(region.rle)}));"""
REGIONS = """return annotation.regions.map(region => ({
    type: region.type, label: region.labelName, prompt: !!region.dynamic, negative: !!region.negative}));"""
ALL_LABELS = """return Array.from(annotation.names.values()).filter(control => control.selectedLabels)
    .flatMap(control => control.children.map(label => control.name + ":" + label._value));"""
SELECTED_LABELS = ALL_LABELS.replace("control.children", "control.selectedLabels")

T = TypeVar("T")
POINTS, BOXES = "KeyPointTool-dynamic", "RectangleTool-dynamic"


@dataclass(frozen=True)
class Suggestion:
    """One region that the backend suggested, as the page holds it."""

    id: str
    label: str
    score: float
    rle: list[int]


def start_browser() -> Chrome:
    """A headless Chromium, Debian's or whatever stands in PATH."""
    options = ChromeOptions()
    for option in OPTIONS:
        options.add_argument(option)
    binary, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not binary or not driver:
        raise RuntimeError("No Chromium. On Debian: apt-get install chromium chromium-driver")
    options.binary_location = binary
    browser = Chrome(options=options, service=Service(driver))
    browser.set_page_load_timeout(WAIT_SECONDS)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": WINDOW[0], "height": WINDOW[1], "deviceScaleFactor": 1, "mobile": False},
    )
    return browser


def wait_for(read: Callable[[], T], what: str, seconds: float = WAIT_SECONDS) -> T:
    """Poll `read` until it gives something true; TimeoutError names what never came."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = read()
        except (JavascriptException, WebDriverException) as error:  # the page is on its way
            value, failure = None, str(error).splitlines()[0]
        else:
            failure = repr(value)
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"No {what} after {seconds:.0f} s: {failure}")
        time.sleep(POLL_SECONDS)


class LabelingPage:
    """The labeling page of a running Label Studio. Coordinates are pixels of the image as the page shows it upright."""

    def __init__(self, browser: Chrome, label_studio: LabelStudio) -> None:
        self.browser = browser
        self._label_studio = label_studio

    def log_in(self) -> None:
        self.browser.get(f"{self._label_studio.url}/user/login/")
        self.browser.find_element(By.NAME, "email").send_keys(self._label_studio.login.email)
        self.browser.find_element(By.NAME, "password").send_keys(self._label_studio.login.password, Keys.ENTER)
        wait_for(lambda: "/user/login" not in self.browser.current_url, "page after the login")

    def open_task(self, project: int, task: int, *, auto_annotation: bool = True, auto_accept: bool = False) -> None:
        """Open a task and set the two switches below the image."""
        self.browser.get(f"{self._label_studio.url}/projects/{project}/data?task={task}")
        wait_for(lambda: self._read(IMAGE_IS_SHOWN), "image on the labeling page")
        self._switch("bottombar-auto-annotation-toggle", on=auto_annotation)
        if auto_annotation:
            self._switch("bottombar-auto-accept-toggle", on=auto_accept)

    def choose(self, tool: str, label: str) -> None:
        """Take a smart tool and a label ("keypoint:Fruit"), as an annotator does before each prompt."""
        if self._read(SMART_TOOL) != tool:
            self._take(tool)
        if self._read(SELECTED_LABELS) != [label]:
            # By mouse: keys do nothing as long as one of the switches has the focus.
            self.browser.find_elements(By.CSS_SELECTOR, ".lsf-label")[self._read(ALL_LABELS).index(label)].click()
        wait_for(lambda: (self._read(SMART_TOOL), self._read(SELECTED_LABELS)) == (tool, [label]), f"{tool}, {label}")

    def click(self, x: float, y: float, *, alt: bool = False) -> None:
        """Click on the image; with Alt the point is negative."""
        actions = ActionChains(self.browser, duration=60)
        # The two devices advance tick by tick together: beside each step of one stands a pause of the other.
        pointer, keys = actions.w3c_actions.pointer_action, actions.w3c_actions.key_action
        pointer.move_to_location(*self._on_screen(x, y))
        keys.pause()
        if alt:
            pointer.pause()
            keys.key_down(Keys.ALT)
        pointer.pointer_down()
        keys.pause()
        pointer.pointer_up()
        keys.pause()
        if alt:
            pointer.pause()
            keys.key_up(Keys.ALT)
        actions.perform()

    def drag(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Drag from one corner of a box to the other."""
        actions = ActionChains(self.browser, duration=120)
        pointer = actions.w3c_actions.pointer_action
        pointer.move_to_location(*self._on_screen(x0, y0))
        pointer.pointer_down()
        pointer.move_to_location(*self._on_screen((x0 + x1) / 2, (y0 + y1) / 2))
        pointer.move_to_location(*self._on_screen(x1, y1))
        pointer.pointer_up()
        actions.perform()

    def suggestion(self, *, after: Suggestion | None = None) -> Suggestion:
        """The one suggestion on the page, once there is one other than `after`."""

        def fresh() -> list[Suggestion]:
            found = [Suggestion(**region) for region in self._read(SUGGESTIONS)]
            return found if found and found[0].id != (after.id if after else "") else []

        found = wait_for(fresh, "suggestion")
        assert len(found) == 1, [region.id for region in found]
        return found[0]

    def regions(self) -> list[dict[str, Any]]:
        """What stands in the annotation: type, label, whether it is a prompt, whether it is a negative one."""
        regions: list[dict[str, Any]] = self._read(REGIONS)
        return regions

    def accept(self) -> None:
        """Accept the suggestion, and wait until it is a region and its prompts are gone."""
        self._press("bottombar-accept-suggestions-button")
        wait_for(lambda: not self._read(SUGGESTIONS), "end of the suggestion")
        wait_for(lambda: not any(region["prompt"] for region in self.regions()), "end of the prompts")

    def reject(self) -> None:
        """Reject the suggestion, and wait until it and its prompts are gone."""
        self._press("bottombar-reject-suggestions-button")
        wait_for(lambda: not self._read(SUGGESTIONS) and not self.regions(), "clean picture")

    def submit(self) -> None:
        """Save the annotation."""
        self._press("bottombar-submit-button")

    def _read(self, script: str) -> Any:
        return self.browser.execute_script(EDITOR + script)

    def _button(self, test_id: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, f'[data-testid="{test_id}"]')

    def _press(self, test_id: str) -> None:
        """Click a button; one that the page replaces between finding and clicking is looked for again."""

        def pressed() -> bool:
            self._button(test_id).click()
            return True

        wait_for(pressed, test_id)

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
            if self._read(SMART_TOOL) == tool:
                return
            self._next_smart_tool()
        raise AssertionError(f"Auto-Detect never came to {tool}")

    def _next_smart_tool(self) -> None:
        before = self._read(SMART_TOOL)
        self.browser.find_element(By.CSS_SELECTOR, ".lsf-toolbar > :last-child .lsf-tool_smart").click()
        wait_for(lambda: self._read(SMART_TOOL) != before, "next smart tool")

    def _on_screen(self, x: float, y: float) -> tuple[int, int]:
        left, top, shown_width, shown_height = self._read(FRAME)
        width, height = self._read("return [image.naturalWidth, image.naturalHeight];")
        return round(left + x / width * shown_width), round(top + y / height * shown_height)
