"""One Label Studio, one backend and one browser for all tests. Logs and pictures of failures are left in `.e2e/`."""

import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome

from examples.demo.backend import sam_backend
from examples.demo.drawing import Drawing
from examples.demo.label_studio import LabelStudio, kept_login, label_studio
from examples.demo.servers import free_port, interrupt_on_terminate
from tests.e2e.browser import start_browser
from tests.e2e.labeling_page import LabelingPage
from tests.e2e.projects import add_task, jpeg, label_config

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / ".e2e"

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
    """Makes a project of an example's label config with one task, connected to the backend; gives both ids."""

    def make(*drawings: Drawing, config: str = "brush", lying: bool = False) -> tuple[int, int]:
        project = studio.create_project(request.node.name[:50], label_config(config))
        task = add_task(studio, project, [jpeg(drawing, lying=lying) for drawing in drawings])
        studio.connect(project, backend)
        return project, task

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
