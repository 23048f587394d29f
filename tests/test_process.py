"""Starting and stopping: what is wrong at start is one line and an exit code, a signal ends it in order."""

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sam_backend.errors import PortTakenError
from sam_backend.process import listen
from tests.support import recordings
from tests.support.image_host import TOKEN, ImageHost, image_host
from tests.support.service import command, environment, free_port, running


@pytest.fixture
def host() -> Iterator[ImageHost]:
    with image_host() as running_host:
        recordings.serve(running_host)
        yield running_host


def refused(**settings: str) -> str:
    """What a start that must fail at once says, which must be one line."""
    done = subprocess.run(
        [*command(), "serve"], env=environment(**settings), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    return line


def test_a_taken_port_is_named_with_the_remedy() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = refused(PORT=str(port))
    assert f"127.0.0.1:{port}" in line
    assert "Set PORT" in line


def test_a_host_that_is_not_ours_is_named() -> None:
    assert "192.0.2.1:9090" in refused(SAM_HOST="192.0.2.1")


def test_a_missing_model_folder_is_named(tmp_path: Path) -> None:
    line = refused(SAM_MODEL="mine", SAM_MODEL_DIR=str(tmp_path))
    assert str(tmp_path / "mine") in line
    assert "SAM_MODEL" in line


def test_a_wrong_setting_and_an_unknown_one_are_named() -> None:
    assert "SAM_THREADS" in refused(SAM_THREADS="0")
    assert "SAM_THREAD is not a setting. Did you mean SAM_THREADS?" in refused(SAM_THREAD="8")


def test_listening_takes_ipv6_too() -> None:
    try:
        listener = listen("::1", free_port())
    except PortTakenError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert listener.family == socket.AF_INET6


def test_a_signal_lets_the_click_under_way_finish(host: ImageHost, tmp_path: Path) -> None:
    path = next(iter(host.replies))
    host.put(path, host.replies[path].body, pause=0.001)
    answers: list[int] = []
    body = recordings.read("A1_keypoint_positive__predict").body
    with running(tmp_path, LABEL_STUDIO_URL=host.url, LABEL_STUDIO_API_KEY=TOKEN) as service:
        ask = threading.Thread(
            target=lambda: answers.append(requests.post(f"{service.url}/predict", json=body, timeout=60).status_code)
        )
        ask.start()
        while not host.requests:
            time.sleep(0.01)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0
        ask.join(30)
    assert answers == [200]
    assert "Traceback" not in service.log()


def test_a_stop_ends_though_images_wait_to_be_warmed(host: ImageHost, tmp_path: Path) -> None:
    path = next(iter(host.replies))
    host.put(path, host.replies[path].body, pause=0.5)
    opened = recordings.ask(path, (800, 1200)) | {"params": {"context": None}}
    with running(tmp_path, LABEL_STUDIO_URL=host.url, LABEL_STUDIO_API_KEY=TOKEN) as service:
        requests.post(f"{service.url}/predict", json=opened, timeout=5).raise_for_status()
        started = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0
    assert time.monotonic() - started < 20
    assert "Traceback" not in service.log()


def test_health_and_setup_answer_before_the_model_and_a_click_waits_for_it(host: ImageHost, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {"PORT": str(port), "LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command(), "serve"], env=environment(**settings), stdout=log, stderr=log)
    try:
        while True:
            try:
                health = requests.get(f"{url}/health", timeout=5)
                break
            except requests.ConnectionError:
                assert process.poll() is None
        assert health.status_code == 200
        assert recordings.read("S1_connect__setup").send(url).status_code == 200
        assert len(recordings.answered(recordings.read("A1_keypoint_positive__predict").send(url))) == 1
    finally:
        process.terminate()
        assert process.wait(40) == 0


def test_a_model_that_openvino_refuses_is_an_error_in_health_and_clicks(host: ImageHost, tmp_path: Path) -> None:
    """It passes for a model folder, but what is in the graph is nonsense."""
    folder = _unusable_model(tmp_path / "mine")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {"PORT": str(port), "SAM_MODEL": "mine", "SAM_MODEL_DIR": str(folder.parent)}
    log_file = tmp_path / "log"
    with log_file.open("wb") as log:
        process = subprocess.Popen([*command(), "serve"], env=environment(**settings), stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while "The model is not served." not in log_file.read_text():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        health = requests.get(f"{url}/health", timeout=5)
        assert (health.status_code, health.json()["error"]) == (500, "ModelError")
        assert health.json()["remedy"]
        assert recordings.read("S1_connect__setup").send(url).status_code == 200
    finally:
        process.terminate()
        assert process.wait(40) == 0


def _unusable_model(folder: Path) -> Path:
    from sam_backend.segmenter import model_folder
    from sam_backend.settings import load

    shutil.copytree(model_folder(load({})), folder)
    mark = json.loads((folder / "model.json").read_text())["export_id"]
    marked = f'<rt_info><sam_backend><export_id value="{mark}"/></sam_backend></rt_info>'
    (folder / "encoder.xml").write_text(f'<net name="x" version="11"><layers/>{marked}</net>')
    return folder
