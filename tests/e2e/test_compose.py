"""`docker compose up` without containers: a Label Studio with the environment that it gets, and what connects it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from examples.demo.backend import sam_backend
from examples.demo.label_studio import LabelStudio, Login
from examples.demo.servers import Server, free_port, running
from tests.support import containers
from tests.support.balancer import balancing
from tests.support.containers import ROOT, Composition

pytestmark = pytest.mark.e2e


@dataclass
class Running:
    """What is up, but `connect`; `names` has the addresses that stand for those of the containers."""

    composition: Composition
    studio: LabelStudio
    names: dict[str, str]

    def connect(self) -> "subprocess.CompletedProcess[str]":
        """Start the service of that name, and wait for its end."""
        service = self.composition.services["connect"]
        assert service["working_dir"] == "/srv"
        (mounted,) = service["volumes"]
        long = {"source": f"{ROOT}/examples", "target": "/srv/examples", "read_only": True}
        assert mounted == f"{ROOT}/examples:/srv/examples:ro" or long.items() <= mounted.items()
        own = containers.inherited() | self.composition.environment("connect", self.names)
        command = containers.words(service["entrypoint"], {"/opt/sam-backend/bin/python": sys.executable})
        return subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("compose")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    composition = containers.composition(folder, LABEL_STUDIO_HOST=url)
    with ExitStack() as stack:
        stack.enter_context(running(label_studio(composition, folder, port)))
        own = composition.environment("label-studio", {})
        studio = LabelStudio(url, Login(own["LABEL_STUDIO_USERNAME"], "", own["LABEL_STUDIO_USER_TOKEN"]))
        redis = stack.enter_context(containers.running_redis(composition, folder))
        names = {"http://label-studio:8080": url, "redis:6379": f"127.0.0.1:{redis}", "0.0.0.0": "127.0.0.1"}
        settings = composition.environment("backend", names | {"/cache": str(folder / "cache"), "/models": str(folder)})
        backend, _ = stack.enter_context(sam_backend(ROOT, free_port(), folder / "backend.log", settings))
        balancer = stack.enter_context(balancing(folder, [backend]))
        yield Running(composition, studio, names | {"http://balancer:9090": balancer})


def label_studio(composition: Composition, folder: Path, port: int) -> Server:
    """What the image of Label Studio starts: its program, without an argument; here it stays on loopback."""
    here = {"LABEL_STUDIO_BASE_DATA_DIR": str(folder / "label-studio"), "LABEL_STUDIO_PORT": str(port)}
    offline = {"LATEST_VERSION_CHECK": "false", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": ""}
    return Server(
        name="Label Studio",
        command=[Path(sys.executable).with_name("label-studio"), "--internal-host", "127.0.0.1", "--no-browser"],
        environment=containers.inherited() | composition.environment("label-studio", {}) | here | offline,
        ready_url=f"http://127.0.0.1:{port}/health",
        log=folder / "label-studio.log",
        start_seconds=600,
    )


def test_label_studio_says_that_it_is_well(up: Running) -> None:
    kind, *check = up.composition.services["label-studio"]["healthcheck"]["test"]
    assert kind == "CMD"
    names = {"python3": sys.executable, "127.0.0.1:8080": up.studio.url.removeprefix("http://")}
    assert subprocess.run(containers.words(check, names)).returncode == 0


def test_a_project_is_there_and_connected_and_a_click_is_answered(up: Running) -> None:
    first = up.connect()
    assert first.returncode == 0, first.stderr
    assert f"{up.studio.url}/projects/" in first.stdout
    again = up.connect()
    assert (again.returncode, again.stdout) == (0, first.stdout)
    (project,) = up.studio.request("GET", "/api/projects")["results"]
    (connected,) = up.studio.request("GET", "/api/ml", params={"project": project["id"]})
    assert (connected["state"], connected["is_interactive"]) == ("CO", True)
    assert connected["url"] == up.names["http://balancer:9090"]
    task = up.studio.tasks(project["id"])[0]
    assert len(up.studio.tasks(project["id"])) == 4
    answer = up.studio.request(
        "POST", f"/api/ml/{connected['id']}/interactive-annotating", json={"task": task["id"], "context": CLICK}
    )
    assert answer.get("errors", []) == []
    (region,) = answer["data"]["result"]
    assert region["type"] == "brushlabels"


CLICK = {
    "result": [
        {
            "id": "click",
            "type": "keypointlabels",
            "from_name": "keypoint",
            "to_name": "image",
            "original_width": 1200,
            "original_height": 800,
            "image_rotation": 0,
            "is_positive": True,
            "value": {"x": 50.0, "y": 50.0, "width": 0.2, "labels": ["Fruit"], "keypointlabels": ["Fruit"]},
        }
    ]
}


def test_a_backend_that_is_gone_is_said(up: Running) -> None:
    gone = Running(up.composition, up.studio, up.names | {"http://balancer:9090": f"http://127.0.0.1:{free_port()}"})
    refused = gone.connect()
    assert refused.returncode == 1
    assert "Not connected: " in refused.stderr
