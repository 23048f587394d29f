"""What the labeling page has come to, read from the editor's store (`Htx`), because it is exact; nothing is changed.

Coordinates of the image are natural pixels, upright as the browser turns it by EXIF, before any rotation of the view.
"""

from dataclasses import dataclass
from typing import Any

from selenium.webdriver import Chrome

_STORE = "const annotation = Htx.annotationStore.selected, image = annotation.objects[0];"
_IS_SHOWN = "return !!(image.stageRef && image.naturalWidth > 1 && image.stageWidth > 1);"
_SMART_TOOL = """const tool = image.getToolsManager().findSelectedTool();
    return tool && tool.dynamic ? tool.fullName : "";"""
_FRAME = """const box = image.stageRef.container().getBoundingClientRect();
    return [box.left, box.top, image.stageWidth, image.stageHeight, image.naturalWidth, image.naturalHeight,
        image.rotation];"""
_SUGGESTIONS = """return Array.from(annotation.suggestions.values()).map(region => ({
    id: region.cleanId, type: region.type, label: region.labelName, score: region.score,
    rle: Array.from(region.rle || [])}));"""
_REGIONS = """return annotation.regions.map(region => ({
    id: region.cleanId, type: region.type, label: region.labelName, prompt: !!region.dynamic}));"""
_ALL_LABELS = """return Array.from(annotation.names.values()).filter(control => control.selectedLabels)
    .flatMap(control => control.children.filter(child => child.type === "label")
        .map(label => control.name + ":" + label._value));"""
_SELECTED_LABELS = """return Array.from(annotation.names.values()).filter(control => control.selectedLabels)
    .flatMap(control => control.selectedLabels.map(label => control.name + ":" + label._value));"""


@dataclass(frozen=True)
class Suggestion:
    """One region that the backend suggested, as the page holds it; `rle` is empty but for brush masks."""

    id: str
    type: str
    label: str
    score: float
    rle: list[int]


@dataclass(frozen=True)
class Region:
    """One region of the annotation; `prompt` while it asks for suggestions."""

    id: str
    type: str
    label: str
    prompt: bool


class Editor:
    """The editor of the labeling page that a browser shows."""

    def __init__(self, browser: Chrome) -> None:
        self._browser = browser

    @property
    def is_shown(self) -> bool:
        """Whether the image is there."""
        return bool(self._read(_IS_SHOWN))

    @property
    def smart_tool(self) -> str:
        """The smart tool in the annotator's hand, or an empty string."""
        return str(self._read(_SMART_TOOL))

    @property
    def labels(self) -> list[str]:
        """All labels in the page's order, each as "control:label"."""
        return list(self._read(_ALL_LABELS))

    @property
    def selected_labels(self) -> list[str]:
        """Those that are selected."""
        return list(self._read(_SELECTED_LABELS))

    @property
    def suggestions(self) -> list[Suggestion]:
        """What is suggested now."""
        return [Suggestion(**region) for region in self._read(_SUGGESTIONS)]

    @property
    def regions(self) -> list[Region]:
        """What stands in the annotation, prompts included."""
        return [Region(**region) for region in self._read(_REGIONS)]

    @property
    def rotation(self) -> int:
        """Degrees by which the view is turned, clockwise."""
        return int(self._read("return image.rotation;"))

    @property
    def item(self) -> int:
        """Which of a task's images is shown."""
        return int(self._read("return image.currentImage;"))

    @property
    def image_box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the image in the window."""
        *_, width, height, _ = self._read(_FRAME)
        corners = [self.on_screen(x, y) for x, y in ((0, 0), (width, height))]
        (left, right), (top, bottom) = (sorted(side) for side in zip(*corners, strict=True))
        return left, top, right, bottom

    def on_screen(self, x: float, y: float) -> tuple[int, int]:
        """Where a pixel of the image lies in the window; the window must show that part of the image."""
        left, top, stage_width, stage_height, width, height, rotation = self._read(_FRAME)
        # The stage has the image's sides whichever way it is turned.
        across, down = x / width * stage_width, y / height * stage_height
        turned = {
            0: (across, down),
            90: (stage_height - down, across),
            180: (stage_width - across, stage_height - down),
            270: (down, stage_width - across),
        }[rotation]
        return round(left + turned[0]), round(top + turned[1])

    def _read(self, script: str) -> Any:
        return self._browser.execute_script(_STORE + script)
