"""The endpoints over real HTTP: what they answer, what they refuse, and that bad input leaves the process alive."""

import importlib.util
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import requests
from requests.auth import HTTPBasicAuth

from tests.support import recordings, scenes
from tests.support.image_host import TOKEN, ImageHost, image_host
from tests.support.service import Service, running

ROOT = Path(__file__).parents[1]

USER, PASSWORD = "annotator", "pässword"
NO_PROMPT = '<View><Image name="i" value="$image"/><Brush name="b" toName="i"/></View>'
NO_ANSWER = '<View><Image name="i" value="$image"/><KeyPoint name="k" toName="i" smart="true"/></View>'


@pytest.fixture(scope="module")
def host() -> Iterator[ImageHost]:
    with image_host() as running_host:
        recordings.serve(running_host)
        running_host.put("/data/upload/1/page.html", b"<html>Please log in</html>")
        running_host.put("/data/upload/1/half.png", scenes.png(recordings.PLAIN.rgb)[:2000])
        running_host.put("/data/upload/1/error", b"oh", status=500)
        running_host.put("/data/upload/1/loop", b"", status=302, headers={"Location": "/data/upload/1/loop"})
        running_host.put("/data/upload/1/slow.png", scenes.png(recordings.PLAIN.rgb), pause=0.2)
        running_host.put("/data/upload/1/vast.png", _vast_png())
        running_host.put("/data/upload/1/heavy.png", bytes(3_000_000))
        yield running_host


@pytest.fixture(scope="module")
def service(host: ImageHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {
        "LABEL_STUDIO_URL": host.url,
        "LABEL_STUDIO_API_KEY": TOKEN,
        "SAM_IMAGE_TIMEOUT": "4",
        "SAM_IMAGE_NETWORKS": "127.0.0.2",
        "SAM_MAX_IMAGE_BYTES": "2500000",
        "SAM_MAX_BODY_BYTES": "4000000",
    }
    with running(tmp_path_factory.mktemp("service"), **settings) as running_service:
        yield running_service


@pytest.fixture(scope="module")
def guarded(host: ImageHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {"LABEL_STUDIO_URL": host.url, "BASIC_AUTH_USER": USER, "BASIC_AUTH_PASS": PASSWORD}
    with running(tmp_path_factory.mktemp("guarded"), **settings) as running_service:
        yield running_service


@pytest.fixture(autouse=True)
def alive(service: Service) -> Iterator[None]:
    """Whatever a test sends: afterwards the same process answers a click."""
    yield
    assert service.process.poll() is None
    assert len(recordings.answered(recordings.read("A1_keypoint_positive__predict").send(service.url))) == 1
    assert "InternalError" not in service.log()
    assert "Traceback" not in service.log()


def _vast_png() -> bytes:
    """A small file of 200 megapixels."""
    return scenes.png(np.zeros((10_000, 20_000), np.uint8))


def body(**changes: Any) -> dict[str, Any]:
    """A recorded click's body with other values; `...` takes a key out."""
    recorded = recordings.read("A1_keypoint_positive__predict").body
    assert recorded is not None
    changed = recorded | changes
    return {key: value for key, value in changed.items() if value is not ...}


def on(path: str) -> dict[str, Any]:
    """A click on the image at that path."""
    return recordings.ask(path, (800, 1200), recordings.keypoint(35, 40))


def error(response: requests.Response, status: int) -> str:
    """The name of the error that a response must be; it says what to do next, and nothing of the code."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    document = response.json()
    assert set(document) == {"error", "message", "remedy"}
    assert document["message"]
    assert document["remedy"]
    assert "Traceback" not in response.text
    return str(document["error"])


def test_health_and_root_tell_what_is_served(service: Service) -> None:
    for path in ("/", "/health"):
        response = requests.get(service.url + path, timeout=30)
        assert response.status_code == 200
        health = response.json()
        assert health["status"] == "UP"
        assert health["model_class"] == "SamBackend"
        assert health["model_loaded"] is True
        assert (health["device"], health["precision"]) == ("CPU", "f32")


def test_setup_health_and_versions_name_the_same_version(service: Service) -> None:
    version = requests.get(f"{service.url}/health", timeout=30).json()["model_version"]
    assert recordings.read("S1_connect__setup").send(service.url).json() == {"model_version": version}
    for method in ("GET", "POST"):
        assert requests.request(method, f"{service.url}/versions", timeout=30).json() == {"versions": [version]}


@pytest.mark.parametrize("extra", [{"mode": "off"}, '{"mode": "off"}', {}, "{}", " ", "", None])
@pytest.mark.parametrize("hostname", ["http://localhost:8080", "", None])
def test_setup_takes_what_label_studio_may_have_stored(service: Service, extra: object, hostname: object) -> None:
    document = recordings.read("S1_connect__setup").body
    assert document is not None
    document |= {"extra_params": extra, "hostname": hostname}
    assert requests.post(f"{service.url}/setup", json=document, timeout=30).status_code == 200


@pytest.mark.parametrize(
    ("config", "missing"), [(NO_PROMPT, "prompt"), (NO_ANSWER, "mask"), ("<View></View>", "Image"), ("<View", "XML")]
)
def test_setup_names_what_a_label_config_lacks(service: Service, config: str, missing: str) -> None:
    response = requests.post(f"{service.url}/setup", json={"project": "1.1", "schema": config}, timeout=30)
    assert error(response, 422) == "LabelConfigError"
    assert missing in response.json()["message"]


@pytest.mark.parametrize("data", [b"", b"nonsense", b"[1, 2]", b"null", b"\xff\xfe", b'{"tasks": [', b"[" * 100_000])
@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook"])
def test_a_body_that_is_no_json_object_is_refused(service: Service, path: str, data: bytes) -> None:
    assert error(requests.post(service.url + path, data=data, timeout=30), 400) == "BodyError"


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": ...},
        {"tasks": None},
        {"tasks": {}},
        {"tasks": []},
        {"tasks": ["one"]},
        {"params": "login"},
        {"params": {"context": "click"}},
        {"params": {"context": {"result": "click"}}},
        {"params": {"context": {"regions": []}}},
        {"label_config": 7},
        {"label_config": ..., "project": "77.7"},
    ],
    ids=str,
)
def test_a_body_with_something_missing_or_of_another_kind_is_refused(service: Service, changes: dict[str, Any]) -> None:
    assert error(requests.post(f"{service.url}/predict", json=body(**changes), timeout=30), 400) == "BodyError"


@pytest.mark.parametrize(
    "task",
    [
        {},
        {"data": None},
        {"data": {}},
        {"data": {"picture": "/data/upload/1/a.png"}},
        {"data": {"image": None}},
        {"data": {"image": 5}},
        {"data": {"image": ""}},
    ],
    ids=str,
)
@pytest.mark.parametrize("context", [None, "click"])
def test_a_task_without_its_image_is_refused(service: Service, task: dict[str, Any], context: str | None) -> None:
    changed = body(tasks=[{"id": 1, **task}])
    if context is None:
        changed["params"]["context"] = None
    assert error(requests.post(f"{service.url}/predict", json=changed, timeout=30), 400) == "TaskError"


def test_a_click_on_two_tasks_is_refused(service: Service) -> None:
    changed = body()
    changed["tasks"] *= 2
    assert error(requests.post(f"{service.url}/predict", json=changed, timeout=30), 400) == "TaskError"


@pytest.mark.parametrize(
    ("path", "status", "name"),
    [
        ("/data/upload/1/nowhere.png", 502, "ImageUnavailableError"),
        ("/data/upload/1/error", 502, "ImageUnavailableError"),
        ("/data/upload/1/loop", 502, "ImageUnavailableError"),
        ("http://127.0.0.2:9/closed.png", 502, "ImageUnavailableError"),
        ("http://127.0.0.1:9/private.png", 400, "ImageUrlError"),
        ("/data/upload/1/page.html", 422, "ImageUnreadableError"),
        ("/data/upload/1/half.png", 422, "ImageUnreadableError"),
        ("/data/upload/1/vast.png", 413, "ImageTooLargeError"),
        ("/data/upload/1/heavy.png", 413, "ImageTooLargeError"),
        ("/data/upload/1/slow.png", 504, "ImageTimeoutError"),
        ("file:///etc/passwd", 400, "ImageUrlError"),
        ("ftp://127.0.0.1/a.png", 400, "ImageUrlError"),
        ("s3://bucket/a.png", 502, "ImageUnavailableError"),
        ("hdfs://bucket/a.png", 400, "ImageUrlError"),
    ],
)
def test_an_image_that_cannot_be_had_is_a_named_error(service: Service, path: str, status: int, name: str) -> None:
    assert error(requests.post(f"{service.url}/predict", json=on(path), timeout=30), status) == name


def test_a_click_outside_the_image_is_a_named_error(service: Service) -> None:
    image = "/data/upload/1/176057e3-plain_1200x800.png"
    click = recordings.ask(image, (800, 1200), recordings.keypoint(350, 40))
    assert error(requests.post(f"{service.url}/predict", json=click, timeout=30), 400) == "PromptError"


def test_a_label_config_without_an_output_control_is_a_named_error(service: Service) -> None:
    changed = body(label_config=NO_ANSWER)
    assert error(requests.post(f"{service.url}/predict", json=changed, timeout=30), 422) == "LabelConfigError"


def test_a_body_over_the_limit_is_refused(service: Service) -> None:
    changed = body(padding="x" * 4_100_000)
    assert error(requests.post(f"{service.url}/predict", json=changed, timeout=30), 413) == "BodyTooLargeError"


def test_a_body_without_a_length_is_read_and_has_the_same_limit(service: Service) -> None:
    """Sent in chunks, as a proxy may do."""
    sent = orjson.dumps(body())
    pieces = (sent[start : start + 1000] for start in range(0, len(sent), 1000))
    assert len(recordings.answered(requests.post(f"{service.url}/predict", data=pieces, timeout=30))) == 1
    vast = (b" " * 100_000 for _ in range(41))
    assert error(requests.post(f"{service.url}/predict", data=vast, timeout=30), 413) == "BodyTooLargeError"


def test_unknown_paths_and_methods_are_answered_in_json(service: Service) -> None:
    assert error(requests.get(f"{service.url}/train", timeout=30), 404) == "NotFound"
    response = requests.get(f"{service.url}/predict", timeout=30)
    assert error(response, 405) == "MethodNotAllowed"
    assert "POST" in response.headers["Allow"]


def test_a_click_needs_no_setup_and_a_missing_label_config_is_the_one_of_setup(service: Service) -> None:
    click = body(project="88.8", label_config=...)
    assert error(requests.post(f"{service.url}/predict", json=click, timeout=30), 400) == "BodyError"
    schema = body()["label_config"]
    requests.post(f"{service.url}/setup", json={"project": "88.8", "schema": schema}, timeout=30).raise_for_status()
    assert len(recordings.answered(requests.post(f"{service.url}/predict", json=click, timeout=30))) == 1


def test_an_error_is_logged_in_one_line_with_its_remedy_task_and_request(service: Service) -> None:
    response = requests.post(f"{service.url}/predict", json=on("/data/upload/1/nowhere.png"), timeout=30)
    lines = [line for line in service.log().splitlines() if response.headers["X-Request-ID"] in line]
    [line] = [line for line in lines if "WARNING" in line]
    assert response.json()["error"] in line
    assert response.json()["remedy"] in line
    assert "task 1" in line


def test_a_click_is_logged_with_its_stages_and_nothing_private(service: Service, host: ImageHost) -> None:
    """The second one on an image needs no fetch."""
    click = on(host.put("/data/upload/1/logged.png", scenes.png(recordings.PLAIN.rgb)))
    clicks = [requests.post(f"{service.url}/predict", json=click, timeout=30) for _ in range(2)]
    recordings.read("D1_keypoint_airplane__predict").send(service.url)
    log = service.log()
    first, second = (_line(log, response) for response in clicks)
    for stage in ("decode=", "upscale=", "rle="):
        assert stage in first
        assert stage in second
    assert "fetch=" in first
    assert "fetch=" not in second
    assert TOKEN not in log
    assert "<LEGACY_TOKEN>" not in log
    assert "brushlabels" not in log
    assert "user@example.com" not in log


def _line(log: str, response: requests.Response) -> str:
    [line] = [line for line in log.splitlines() if response.headers["X-Request-ID"] in line]
    return line


def test_a_line_break_in_a_request_does_not_begin_a_line_in_the_log(service: Service) -> None:
    requests.post(f"{service.url}/webhook", json={"action": "A\n2026-01-01 forged"}, timeout=30).raise_for_status()
    assert not any(line.startswith("2026-01-01 forged") for line in service.log().splitlines())


def test_the_service_has_no_torch_in_its_memory(service: Service) -> None:
    """Nor in that of its worker, after clicks; this environment has torch, so it could."""
    assert importlib.util.find_spec("torch")
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    assert children
    for process in (service.process.pid, *children):
        mapped = Path(f"/proc/{process}/maps").read_text()
        assert "libpython" in mapped or "python3" in mapped
        assert "torch" not in mapped


@pytest.mark.parametrize("origin", ["https://example.com", "http://localhost:8080", "null"])
@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook", "/versions"])
def test_a_page_in_a_browser_is_refused(service: Service, host: ImageHost, path: str, origin: str) -> None:
    """Browsers let any page post plain text to loopback, and name it in `Origin`."""
    asked = len(host.requests)
    page = {"Origin": origin, "Content-Type": "text/plain"}
    response = requests.post(f"{service.url}{path}", json=on("/data/upload/1/page.png"), headers=page, timeout=30)
    assert error(response, 403) == "WebPageError"
    assert len(host.requests) == asked


def test_metrics_count_requests_errors_and_stages(service: Service) -> None:
    name = 'sam_requests_total{endpoint="/predict",status="502"}'
    errors = 'sam_errors_total{error="ImageUnavailableError"}'
    fetches = 'sam_stage_seconds_count{stage="fetch"}'
    before = [service.metric(one) for one in (name, errors, fetches)]
    requests.post(f"{service.url}/predict", json=on("/data/upload/1/nowhere.png"), timeout=30)
    assert [service.metric(one) for one in (name, errors, fetches)] == [count + 1 for count in before]


def test_metrics_name_the_model_its_device_and_precision(service: Service) -> None:
    health = requests.get(f"{service.url}/health", timeout=30).json()
    labels = f'device="{health["device"]}",precision="{health["precision"]}",version="{health["model_version"]}"'
    assert service.metric(f"sam_model_info{{{labels}}}") == 1


def test_every_metric_that_the_operations_name_is_there(service: Service) -> None:
    text = (ROOT / "docs/operations.md").read_text()
    named = set(re.findall(r"`(sam_[a-z_]+)", text))
    shown = requests.get(f"{service.url}/metrics", timeout=30).text
    assert len(named) > 8
    assert named <= set(re.findall(r"^# TYPE (sam_[a-z_]+) ", shown, re.MULTILINE))


def test_an_opened_task_is_warmed_and_its_first_click_finds_the_embedding(service: Service, host: ImageHost) -> None:
    scene = scenes.draw(900, 600, scenes.CENTER, seed=5)
    path = host.put("/data/upload/1/opened.png", scenes.png(scene.rgb))
    click = recordings.ask(path, (600, 900), recordings.keypoint(50, 50))
    opened = click | {"params": {"context": None}}
    before = service.metric("sam_encodes_total")
    requests.post(f"{service.url}/predict", json=opened, timeout=30).raise_for_status()
    _until(lambda: service.metric("sam_encodes_total") == before + 1)
    [region] = recordings.answered(requests.post(f"{service.url}/predict", json=click, timeout=30))
    assert service.metric("sam_encodes_total") == before + 1
    assert scenes.iou(recordings.bitmap(region), scene.objects["center"]) >= 0.8


def test_a_click_does_not_wait_for_images_of_other_tasks_that_were_opened(service: Service, host: ImageHost) -> None:
    """Nor for its own one's turn in the background."""
    gate = threading.Event()
    picture = scenes.png(scenes.draw(500, 400, scenes.CENTER, seed=11).rgb)
    slow = [host.put(f"/data/upload/1/gated-{number}.png", picture, gate=gate) for number in range(3)]
    path = host.put("/data/upload/1/queued.png", scenes.png(scenes.draw(500, 400, scenes.CENTER, seed=12).rgb))
    try:
        for opened in (slow[0], path, *slow[1:]):
            body = recordings.ask(opened, (400, 500)) | {"params": {"context": None}}
            requests.post(f"{service.url}/predict", json=body, timeout=30).raise_for_status()
        click = recordings.ask(path, (400, 500), recordings.keypoint(50, 50))
        assert recordings.answered(requests.post(f"{service.url}/predict", json=click, timeout=30))
    finally:
        gate.set()


def test_an_opened_task_whose_image_is_missing_is_answered_all_the_same(service: Service) -> None:
    opened = on("/data/upload/1/gone.png") | {"params": {"context": None}}
    response = requests.post(f"{service.url}/predict", json=opened, timeout=30)
    assert response.json()["results"] == [{"model_version": response.json()["model_version"]}]
    _until(lambda: "Not warmed: ImageUnavailableError" in service.log())


def test_an_address_that_shows_another_image_later_gets_the_new_ones_mask(service: Service, host: ImageHost) -> None:
    """From when the task is opened on, which is when the browser loads it; until then what was opened counts."""
    for seed, center in enumerate([(30.0, 30.0), (70.0, 60.0)]):
        scene = scenes.draw(640, 480, {"one": (*center, 15.0, 20.0)}, seed)
        path = host.put("/data/upload/1/changing.png", scenes.png(scene.rgb))
        click = recordings.ask(path, (480, 640), recordings.keypoint(*center))
        opened = click | {"params": {"context": None}}
        requests.post(f"{service.url}/predict", json=opened, timeout=30).raise_for_status()
        [region] = recordings.answered(requests.post(f"{service.url}/predict", json=click, timeout=30))
        assert scenes.iou(recordings.bitmap(region), scene.objects["one"]) >= 0.8


def test_without_opening_the_task_an_image_is_looked_at_again_after_a_while(host: ImageHost, tmp_path: Path) -> None:
    settings = {"LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN, "SAM_IMAGE_FRESH": "0"}
    with running(tmp_path, **settings) as service:
        for seed, center in enumerate([(30.0, 30.0), (70.0, 60.0)]):
            scene = scenes.draw(640, 480, {"one": (*center, 15.0, 20.0)}, seed)
            path = host.put("/data/upload/1/swapped.png", scenes.png(scene.rgb))
            click = recordings.ask(path, (480, 640), recordings.keypoint(*center))
            [region] = recordings.answered(requests.post(f"{service.url}/predict", json=click, timeout=30))
            assert scenes.iou(recordings.bitmap(region), scene.objects["one"]) >= 0.8


@pytest.mark.parametrize("path", ["/", "/versions", "/setup", "/predict"])
@pytest.mark.parametrize("credentials", [None, (USER, "wrong"), ("wrong", PASSWORD), ("", ""), (USER + "é", PASSWORD)])
def test_only_who_knows_user_and_password_is_let_in(
    guarded: Service, path: str, credentials: tuple[str, str] | None
) -> None:
    method = "POST" if path in ("/setup", "/predict") else "GET"
    auth = HTTPBasicAuth(*(part.encode() for part in credentials)) if credentials else None
    response = requests.request(method, guarded.url + path, json={}, auth=auth, timeout=30)
    assert error(response, 401) == "CredentialsError"
    assert response.headers["WWW-Authenticate"].startswith("Basic ")


def test_the_right_user_and_password_open_every_door(guarded: Service) -> None:
    auth = HTTPBasicAuth(USER.encode(), PASSWORD.encode())
    for path in ("/", "/versions", "/metrics"):
        assert requests.get(guarded.url + path, auth=auth, timeout=30).status_code == 200
    document = recordings.read("S1_connect__setup").body
    assert requests.post(f"{guarded.url}/setup", json=document, auth=auth, timeout=30).status_code == 200


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Bearer abc", "Basic dTpw"])
def test_a_broken_authorization_header_is_refused(guarded: Service, header: str) -> None:
    response = requests.get(f"{guarded.url}/versions", headers={"Authorization": header}, timeout=30)
    assert error(response, 401) == "CredentialsError"


def test_the_state_and_events_need_no_credentials(guarded: Service) -> None:
    """Label Studio sends none with its events."""
    for path in ("/health", "/ready", "/metrics"):
        assert requests.get(guarded.url + path, timeout=30).status_code == 200
    assert requests.post(f"{guarded.url}/webhook", json={"action": "PROJECT_UPDATED"}, timeout=30).status_code == 201


def _until(happened: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)
