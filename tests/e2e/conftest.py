"""One Label Studio, one backend and one browser for all tests. Logs and pictures of failures are left in `.e2e/`."""

import io
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome

from examples.demo.backend import sam_backend
from examples.demo.drawing import Drawing
from examples.demo.label_studio import LabelStudio, kept_login, label_studio
from examples.demo.scenes import save
from examples.demo.servers import free_port, interrupt_on_terminate
from tests.e2e.browser import LabelingPage, start_browser

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / ".e2e"
LABEL_CONFIG = ROOT / "examples" / "label_configs" / "brush.xml"

MakeTask = Callable[..., tuple[int, int]]


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """An empty folder that outlives the tests."""
    interrupt_on_terminate()
    shutil.rmtree(ARTIFACTS, ignore_errors=True)
    ARTIFACTS.mkdir()
    return ARTIFACTS


@pytest.fixture(scope="session")
def studio(artifacts: Path) -> Iterator[LabelStudio]:
    """A fresh Label Studio."""
    login = kept_login(artifacts / "login.json")
    with label_studio(artifacts / "label-studio", free_port(), login) as (running, _):
        yield running


@pytest.fixture(scope="session")
def backend(artifacts: Path) -> Iterator[str]:
    """The URL of the backend, with no settings but its port: Label Studio's `/setup` tells it what it needs."""
    with sam_backend(ROOT, free_port(), artifacts / "sam-backend.log", {}) as (url, _):
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Chrome]:
    chromium = start_browser()
    yield chromium
    chromium.quit()


@pytest.fixture(scope="session")
def page(browser: Chrome, studio: LabelStudio) -> LabelingPage:
    """The labeling page, logged in."""
    page = LabelingPage(browser, studio)
    page.log_in()
    return page


@pytest.fixture
def make_task(studio: LabelStudio, backend: str, request: pytest.FixtureRequest) -> MakeTask:
    """Makes a project with one picture, connected to the backend, and gives the project's and the task's id."""

    def make(drawing: Drawing, *, lying: bool = False) -> tuple[int, int]:
        file = io.BytesIO()
        save(drawing, file, lying=lying)
        project = studio.create_project(request.node.name[:50], LABEL_CONFIG.read_text())
        studio.upload(project, "picture.jpg", file.getvalue())
        studio.connect(project, backend)
        return project, studio.tasks(project)[0]["id"]

    return make


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Take a picture of the page when a test fails."""
    report = yield
    if report.when == "call" and report.failed and "page" in getattr(item, "funcargs", {}):
        picture = ARTIFACTS / f"{item.name}.png"
        item.funcargs["page"].browser.save_screenshot(str(picture))  # type: ignore[attr-defined]
        report.sections.append(("screenshot", str(picture)))
    return report
