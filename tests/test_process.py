"""Starting and stopping: what is wrong at start is one line and an exit code, a signal ends it in order."""

import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from sam_backend.errors import PortTakenError
from sam_backend.served_model import model_folder
from sam_backend.serving.process import listen
from sam_backend.settings import load
from tests.support import recordings
from tests.support.image_host import TOKEN, ImageHost, image_host
from tests.support.service import command, environment, free_port, running

PATH = "/data/upload/1/176057e3-plain_1200x800.png"
CLICK = recordings.ask(PATH, (800, 1200), recordings.keypoint(35, 40))


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


def test_a_cache_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = refused(SAM_CACHE_DIR=str(tmp_path / "file"))
    assert f"SAM_CACHE_DIR = '{tmp_path / 'file'}'" in line
    assert "File exists" in line or "Not a directory" in line


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


@pytest.fixture
def gate(host: ImageHost) -> Iterator[threading.Event]:
    """The image at PATH is not sent before this is set."""
    event = threading.Event()
    host.put(PATH, host.replies[PATH].body, gate=event)
    yield event
    event.set()


def test_a_signal_lets_the_click_under_way_finish(host: ImageHost, gate: threading.Event, tmp_path: Path) -> None:
    settings = {"LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN}
    with running(tmp_path, **settings) as service, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(requests.post, f"{service.url}/predict", json=CLICK, timeout=60)
        until(lambda: bool(host.requests))
        service.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            service.process.wait(1)
        gate.set()
        assert asked.result().status_code == 200
        assert service.process.wait(30) == 0
    assert "Traceback" not in service.log()


def test_a_stop_ends_though_images_wait_to_be_warmed(host: ImageHost, gate: threading.Event, tmp_path: Path) -> None:
    opened = CLICK | {"params": {"context": None}}
    with running(tmp_path, LABEL_STUDIO_URL=host.url, LABEL_STUDIO_API_KEY=TOKEN) as service:
        requests.post(f"{service.url}/predict", json=opened, timeout=30).raise_for_status()
        until(lambda: bool(host.requests))
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(25) == 0
        assert not gate.is_set()
    assert "Traceback" not in service.log()


def test_a_stop_while_the_model_is_compiled_is_clean(tmp_path: Path) -> None:
    """OpenVINO's threads abort a process that ends beneath them."""
    port, log_file = free_port(), tmp_path / "log"
    with log_file.open("wb") as log:
        process = subprocess.Popen([*command(), "serve"], env=environment(PORT=str(port)), stdout=log, stderr=log)
    until(lambda: _answers(f"http://127.0.0.1:{port}/health"))
    process.terminate()
    assert process.wait(40) == 0
    assert "terminate called" not in log_file.read_text()
    assert "Traceback" not in log_file.read_text()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=30).ok
    except requests.ConnectionError:
        return False


def test_health_and_setup_answer_before_the_model_and_a_click_waits_for_it(host: ImageHost, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {"PORT": str(port), "LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command(), "serve"], env=environment(**settings), stdout=log, stderr=log)
    try:
        while True:
            try:
                health = requests.get(f"{url}/health", timeout=30)
                break
            except requests.ConnectionError:
                assert process.poll() is None
        assert health.status_code == 200
        assert recordings.read("S1_connect__setup").send(url).status_code == 200
        assert len(recordings.answered(recordings.read("A1_keypoint_positive__predict").send(url))) == 1
    finally:
        process.terminate()
        assert process.wait(40) == 0


def test_health_setup_and_opened_tasks_are_answered_while_all_clicks_wait(
    host: ImageHost, gate: threading.Event, tmp_path: Path
) -> None:
    settings = {"LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN, "SAM_THREADS": "1"}
    with running(tmp_path, **settings) as service, ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(requests.post, f"{service.url}/predict", json=CLICK, timeout=90) for _ in range(6)]
        until(lambda: bool(host.requests))
        assert requests.get(f"{service.url}/health", timeout=15).status_code == 200
        assert recordings.read("S1_connect__setup").send(service.url, timeout=15).status_code == 200
        opened = recordings.read("S11_open_task_get__predict")
        assert opened.send(service.url, timeout=15).status_code == 200
        assert not any(future.done() for future in waiting)
        gate.set()
        assert [future.result().status_code for future in waiting] == [200] * 6


def test_a_model_that_openvino_refuses_is_an_error_in_health_and_clicks(host: ImageHost, tmp_path: Path) -> None:
    """It passes for a model folder, but an operation in its graph does not exist."""
    folder = _unusable_model(tmp_path / "mine")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {"PORT": str(port), "LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN}
    settings |= {"SAM_MODEL": "mine", "SAM_MODEL_DIR": str(folder.parent)}
    log_file = tmp_path / "log"
    with log_file.open("wb") as log:
        process = subprocess.Popen([*command(), "serve"], env=environment(**settings), stdout=log, stderr=log)
    try:
        until(lambda: "The model is not served." in log_file.read_text())
        health = requests.get(f"{url}/health", timeout=30)
        assert (health.status_code, health.json()["error"]) == (500, "ModelError")
        assert health.json()["remedy"]
        assert recordings.read("S1_connect__setup").send(url).status_code == 200
        click = recordings.read("A1_keypoint_positive__predict").send(url)
        assert (click.status_code, click.json()["error"]) == (500, "ModelError")
    finally:
        process.terminate()
        assert process.wait(40) == 0


def _unusable_model(folder: Path) -> Path:
    shutil.copytree(model_folder(load({})), folder)
    encoder = folder / "encoder.xml"
    graph = encoder.read_text()
    assert 'type="Convolution"' in graph
    encoder.write_text(graph.replace('type="Convolution"', 'type="Nonsense"', 1))
    return folder


def until(happened: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)
