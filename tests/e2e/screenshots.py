"""The documents' pictures of the labeling page, made again: `python -m tests.e2e.screenshots docs/images [NAME...]`.

Needs what `make e2e` makes: its environment, the service's (or BACKEND_BIN), Chromium.
"""

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from examples.demo.backend import sam_backend
from examples.demo.label_studio import kept_login, label_studio
from examples.demo.scenes import fruit, leaves, upright
from examples.demo.servers import free_port, interrupt_on_terminate
from tests.e2e.browser import start_browser, wait_for
from tests.e2e.camera import Camera, Picture, side_by_side
from tests.e2e.labeling_page import POINTS, LabelingPage
from tests.e2e.masks import bitmap, innermost, next_click
from tests.e2e.projects import wait_for_draft
from tests.e2e.scenes import mushroom, parts

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 1000
QUALITY = 82


def first_page(camera: Camera) -> Picture:
    """Two accepted masks, a third one suggested with its click and its Alt+click."""
    scene = fruit()
    leaf, apple, pear, orange, *_ = scene.visible
    camera.open(scene)
    for label, thing in (("rectangle:Leaf", leaf), ("rectangle:Fruit", orange)):
        camera.draw(label, thing)
        camera.page.accept()
    camera.click("keypoint:Fruit", innermost(apple))
    camera.click("keypoint:Fruit", innermost(pear), alt=True)
    return camera.window()


def clicks(camera: Camera) -> Picture:
    """Three clicks, each where the mask before it is most wrong."""
    scene = mushroom()
    stem, _, whole = parts(scene)
    camera.open(scene)
    point, is_positive, pictures = innermost(stem), True, []
    for _ in range(3):
        shown = camera.click("keypoint:Fruit", point, alt=not is_positive)
        pictures.append(camera.closeup(whole))
        point, is_positive = next_click(bitmap(shown.rle, whole.shape), whole)
    return side_by_side(pictures)


def box_and_click(camera: Camera) -> Picture:
    """A box, then Ctrl+Alt+click in it."""
    scene = mushroom()
    stem, _, whole = parts(scene)
    camera.open(scene)
    camera.draw("rectangle:Fruit", whole)
    boxed = camera.closeup(whole)
    camera.click("keypoint:Fruit", innermost(stem), alt=True, ctrl=True)
    return side_by_side([boxed, camera.closeup(whole)])


def correction(camera: Camera) -> Picture:
    """An accepted mask, the suggestion after Ctrl+Alt+click on it, and the mask when that is accepted."""
    scene = mushroom()
    stem, _, whole = parts(scene)
    task = camera.open(scene)
    region_id = camera.draw("rectangle:Fruit", whole).id
    camera.page.accept()
    wait_for_draft(camera.label_studio, task, region_id)
    pictures = [camera.closeup(whole)]
    camera.click("keypoint:Fruit", innermost(stem), alt=True, ctrl=True)
    pictures.append(camera.closeup(whole))
    camera.page.accept()
    return side_by_side([*pictures, camera.closeup(whole)])


def auto_accept(camera: Camera) -> Picture:
    """Three clicks, three regions."""
    scene = leaves()
    camera.open(scene, auto_accept=True)
    labels = ("Leaf", "Leaf", "Fruit")
    things = (scene.visible[0], scene.visible[1], scene.visible[3])
    for count, (label, thing) in enumerate(zip(labels, things, strict=True), 1):
        camera.page.choose(POINTS, f"keypoint:{label}")
        camera.page.click(*innermost(thing))
        wait_for(lambda count=count: kinds(camera) == ["brushregion"] * count, f"region {count}")
    return camera.window()


def kinds(camera: Camera) -> list[str]:
    """The types of what stands in the annotation."""
    return [region.type for region in camera.page.editor.regions]


def answers(config: str) -> Callable[[Camera], Picture]:
    """A click's answer accepted, a box's answer suggested, in the shape that an example's label config asks for."""

    def take(camera: Camera) -> Picture:
        scene = fruit()
        leaf, apple, pear, *_ = scene.visible
        camera.open(scene, config=config)
        for thing in (pear, apple):
            camera.click("keypoint:Fruit", innermost(thing))
            camera.page.accept()
        camera.draw("rectangle:Leaf", leaf)
        return camera.window()

    return take


def inspection(camera: Camera) -> Picture:
    """The realistic project, with a damage and a part."""
    scene = fruit()
    _, apple, pear, *_ = scene.visible
    camera.open(scene, config="damage_inspection")
    camera.draw("box:Wheel", apple)
    camera.page.accept()
    camera.click("click:Broken glass", innermost(pear))
    return camera.window()


def turned(camera: Camera) -> Picture:
    """A view that was turned, clicked in."""
    scene = fruit()
    camera.open(scene)
    camera.page.rotate()
    camera.click("keypoint:Fruit", innermost(scene.visible[1]))
    return camera.window()


def lying(camera: Camera) -> Picture:
    """A photo that is stored lying down, shown upright by its EXIF orientation."""
    scene = upright()
    camera.open(scene, lying=True)
    camera.click("keypoint:Fruit", innermost(scene.visible[0]))
    return camera.window()


def images(camera: Camera) -> Picture:
    """The second image of a task, of another size than the first."""
    first, second = fruit(), upright()
    camera.open(first, second, config="multi_image")
    camera.click("keypoint:Fruit", innermost(first.visible[1]))
    camera.page.accept()
    camera.page.next_image()
    camera.click("keypoint:Fruit", innermost(second.visible[0]))
    return camera.window()


def automatic(camera: Camera) -> Picture:
    """A task that was labeled before it was opened: everything on it, but for what is larger than a fifth of it."""
    parameters = {"mode": "everything", "points_per_side": 16, "label": "Fruit", "max_area": 0.2, "overlapping": False}
    camera.open_labeled(fruit(), parameters)
    return camera.window()


PICTURES: dict[str, Callable[[Camera], Picture]] = {
    "label-studio": first_page,
    "clicks": clicks,
    "box-and-click": box_and_click,
    "correction": correction,
    "auto-accept": auto_accept,
    "polygon": answers("polygon"),
    "bitmask": answers("bitmask"),
    "rectangle": answers("rectangle"),
    "inspection": inspection,
    "turned-view": turned,
    "exif": lying,
    "several-images": images,
    "automatic": automatic,
}


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Camera]:
    """All that is needed, started and stopped again; its state is kept in `folder`."""
    login = kept_login(folder / "login.json")
    with contextlib.ExitStack() as stack:
        studio, _ = stack.enter_context(label_studio(folder / "label-studio", free_port(), login))
        url, _ = stack.enter_context(sam_backend(ROOT, free_port(), folder / "sam-backend.log", {}))
        browser = start_browser()
        stack.callback(browser.quit)
        page = LabelingPage(browser, studio)
        page.log_in()
        yield Camera(page, studio, url)


def main(folder: Path, names: list[str]) -> None:
    interrupt_on_terminate()
    with tempfile.TemporaryDirectory() as state, running(Path(state)) as camera:
        for name in names or PICTURES:
            picture = PICTURES[name](camera)
            picture.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
            picture.save(folder / f"{name}.jpg", quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
