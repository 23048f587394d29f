"""Automatic mode over HTTP: what is ready in time is answered, the rest is there next time, and nobody's masks mix."""

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from sam_backend.labelstudio import config, images
from sam_backend.preannotation import labeling
from sam_backend.preannotation.plan import Plan
from sam_backend.sam.types import Image
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings
from tests.support import recordings, scenes
from tests.support.image_host import TOKEN, ImageHost, image_host
from tests.support.service import Service, running
from tests.support.waiting import until

EVERYTHING = {"mode": "everything", "points_per_side": 4, "label": "Car"}
TASKS = 8
SIZE = (120, 160)
PROJECT = "9.1"
BATCH = "S5_batch_retrieve_predictions__predict"

Prediction = dict[str, Any]


def scene(number: int) -> scenes.Scene:
    """A picture of its own for each number."""
    place = (20 + 5.0 * (number % 12), 30 + 3.0 * (number % 7), 14, 18)
    return scenes.draw(SIZE[1], SIZE[0], {"object": place}, seed=number)


def url(number: int) -> str:
    return f"/data/upload/9/{number}.png"


@pytest.fixture(scope="module")
def host() -> Iterator[ImageHost]:
    with image_host() as running_host:
        recordings.serve(running_host)
        for number in range(TASKS):
            running_host.put(url(number), scenes.png(scene(number).rgb))
        yield running_host


@pytest.fixture(scope="module")
def service(host: ImageHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("service"), **settings(host)) as running_service:
        yield running_service


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(Settings())


def settings(host: ImageHost, **more: str) -> dict[str, str]:
    return {"LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN, "SAM_OPEN_SECONDS": "60", **more}


def label_config() -> str:
    body = recordings.read(BATCH).body
    assert body is not None
    return str(body["label_config"])


def setup(service: Service, extra_params: Any, project: str = PROJECT) -> requests.Response:
    body = recordings.read("S1_connect__setup").body
    assert body is not None
    body |= {"project": project, "extra_params": extra_params, "schema": label_config()}
    return requests.post(f"{service.url}/setup", json=body, timeout=30)


def task(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "data": {"image": url(number)}, "annotations": [], "predictions": [], **more}


def press(service: Service, tasks: list[dict[str, Any]], project: str = PROJECT) -> list[Prediction]:
    """Label Studio's request when predictions of these tasks are retrieved."""
    body = recordings.read(BATCH).body
    assert body is not None
    response = requests.post(f"{service.url}/predict", json=body | {"tasks": tasks, "project": project}, timeout=110)
    assert response.status_code == 200, response.text
    results = list(response.json()["results"])
    assert len(results) == len(tasks)
    return results


def labeled(predictions: list[Prediction]) -> list[bool]:
    return ["result" in one for one in predictions]


def alone(segmenter: Segmenter, extra_params: Any, numbers: list[int]) -> list[Prediction]:
    """What the tasks' predictions are, made one by one."""
    plan = Plan.of(Settings(), config.parse(label_config(), prompted=False), extra_params)
    made = []
    for number in numbers:
        rgb = scene(number).rgb
        found = labeling.predict(segmenter, lambda _, rgb=rgb: Image(rgb, images.digest(rgb)), task(number), plan)  # type: ignore[misc]
        assert found
        made.append(found.prediction)
    return made


# --------------------------------------------------------------------------------------------------------- setup


@pytest.mark.parametrize("extra", [EVERYTHING, '{"label": "Car", "points_per_side": 4, "mode": "everything"}'])
def test_setup_and_the_predictions_name_the_version_of_the_plan(service: Service, extra: object) -> None:
    version = setup(service, extra).json()["model_version"]
    health = requests.get(f"{service.url}/health", timeout=30).json()["model_version"]
    assert version.startswith(f"{health}-everything-")
    [prediction] = press(service, [task(0)])
    assert prediction["model_version"] == version
    assert prediction["result"]
    assert setup(service, {"mode": "off"}).json()["model_version"] == health
    assert press(service, [task(0)]) == [{"model_version": health}]


def test_a_wrong_parameter_is_refused_by_name_where_label_studio_shows_it(service: Service) -> None:
    setup(service, EVERYTHING, "9.2").raise_for_status()
    for wrong, name in (
        ({"mode": "everything", "point_per_side": 4}, "point_per_side"),
        ({"mode": "everything", "points_per_side": 0}, "points_per_side = 0"),
        ("{mode}", "extra_params"),
        ({"mode": "everything", "label": "Bus"}, "'Bus'"),
    ):
        response = setup(service, wrong, "9.2")
        assert response.status_code == 422
        assert response.json()["error"] == "ExtraParamsError"
        assert name in response.reason
    assert labeled(press(service, [task(0)], "9.2")) == [True]


def test_a_config_without_prompts_is_served_in_automatic_mode(service: Service) -> None:
    schema = '<View><Image name="i" value="$image"/><Brush name="b" toName="i"/></View>'
    for extra, status in (({"mode": "boxes"}, 200), (None, 422)):
        body = {"project": "9.3", "schema": schema, "extra_params": extra}
        assert requests.post(f"{service.url}/setup", json=body, timeout=30).status_code == status


# ------------------------------------------------------------------------------------------------------- answers


def test_recorded_requests_are_answered_with_the_masks_of_their_images(service: Service) -> None:
    for extra, count in ((EVERYTHING | {"points_per_side": 8}, 2), (None, 0)):
        recorded = recordings.read(BATCH)
        assert recorded.body is not None
        setup(service, extra, recorded.body["project"]).raise_for_status()
        results = recorded.send(service.url, timeout=110).json()["results"]
        assert sum(labeled(results)) == count
        for prediction, drawn in zip(results, (recordings.PLAIN, recordings.TURNED), strict=True):
            masks = [recordings.bitmap(region) for region in prediction.get("result", [])]
            assert all(mask.shape == drawn.rgb.shape[:2] for mask in masks)
            best = [max((scenes.iou(mask, one) for mask in masks), default=0) for one in drawn.objects.values()]
            assert min(best) >= 0.8 or not count


def test_many_presses_at_once_answer_each_task_as_if_it_were_alone(
    host: ImageHost, tmp_path: Path, segmenter: Segmenter
) -> None:
    """Four selections that overlap, in other orders, in two projects of other parameters, again and again."""
    params = {"9.1": EVERYTHING, "9.2": EVERYTHING | {"points_per_side": 5, "label": "Airplane"}}
    numbers = list(range(TASKS))
    expected = {project: alone(segmenter, extra, numbers) for project, extra in params.items()}
    selections = [numbers, numbers[::-1], numbers[::2], numbers[3:9]]
    with running(tmp_path, **settings(host)) as service, ThreadPoolExecutor(8) as pool:
        for project, extra in params.items():
            setup(service, extra, project).raise_for_status()
        asked = [(project, selection) for selection in selections for project in params]
        answers = list(pool.map(lambda one: press(service, [task(number) for number in one[1]], one[0]), asked))
        for (project, selection), answer in zip(asked, answers, strict=True):
            assert answer == [expected[project][number] for number in selection]
        assert service.metric("sam_automatic_tasks_total") == 2 * TASKS
        assert service.metric("sam_automatic_queue") == 0


def test_the_budget_holds_with_a_slow_host_and_the_next_press_finds_the_rest(
    host: ImageHost, tmp_path: Path, segmenter: Segmenter
) -> None:
    gate = threading.Event()
    slow = host.put("/data/upload/9/slow.png", scenes.png(scene(5).rgb), gate=gate)
    tasks = [task(0), task(1), task(5) | {"data": {"image": slow}}, task(2)]
    with running(tmp_path, **settings(host, SAM_RETRIEVE_SECONDS="3", SAM_OPEN_SECONDS="0.5")) as service:
        setup(service, EVERYTHING).raise_for_status()
        started = time.monotonic()
        first = press(service, tasks)
        assert 2.5 < time.monotonic() - started < 10
        assert not labeled(first)[2]
        started = time.monotonic()
        assert labeled(press(service, [tasks[2]])) == [False]
        assert time.monotonic() - started < 2.5
        gate.set()
        until(lambda: service.metric("sam_automatic_tasks_total") == 4, 120)
        assert press(service, tasks) == alone(segmenter, EVERYTHING, [0, 1, 5, 2])
        assert service.metric("sam_automatic_tasks_total") == 4


def test_another_image_behind_the_same_address_is_labeled_anew(service: Service, host: ImageHost) -> None:
    setup(service, EVERYTHING).raise_for_status()
    address = "/data/upload/9/changing.png"
    answers = []
    for number in (2, 8, 2):
        host.put(address, scenes.png(scene(number).rgb))
        answers += press(service, [task(99) | {"data": {"image": address}}])
        masks = [recordings.bitmap(region) for region in answers[-1]["result"]]
        assert max(scenes.iou(mask, scene(number).objects["object"]) for mask in masks) >= 0.8
    assert answers[0] == answers[2] != answers[1]


def test_masks_are_given_to_those_alone_who_may_see_the_image(host: ImageHost, tmp_path: Path) -> None:
    """It is fetched with the asker's own token at each request."""
    with running(tmp_path, SAM_OPEN_SECONDS="60") as service:
        for project, token in (("9.1", TOKEN), ("9.2", "f" * 40)):
            body = recordings.read("S1_connect__setup").body
            assert body is not None
            body |= {"project": project, "hostname": host.url, "access_token": token, "extra_params": EVERYTHING}
            requests.post(f"{service.url}/setup", json=body, timeout=30).raise_for_status()
        assert labeled(press(service, [task(0)], "9.1")) == [True]
        assert labeled(press(service, [task(0)], "9.2")) == [False]
        assert labeled(press(service, [task(0)], "9.1")) == [True]
        assert "ImageUnavailableError" in service.log()


def test_a_task_that_fails_is_logged_and_the_others_are_answered(service: Service, host: ImageHost) -> None:
    setup(service, EVERYTHING).raise_for_status()
    broken = host.put("/data/upload/9/broken.png", scenes.png(scene(1).rgb)[:300])
    tasks = [
        task(0),
        {"id": 70, "data": {"image": "/data/upload/9/gone.png"}},
        {"id": 71, "data": {"image": broken}},
        {"id": 72, "data": {}},
        {"id": 73},
        task(1),
    ]
    assert labeled(press(service, tasks)) == [True, False, False, False, False, True]
    for name in ("ImageUnavailableError", "ImageUnreadableError", "TaskError"):
        assert name in service.log()
    assert "Traceback" not in service.log()


def test_boxes_become_masks_by_the_environments_settings_and_tasks_without_are_warmed(
    host: ImageHost, tmp_path: Path
) -> None:
    box = recordings.rectangle(15, 15, 40, 50) | {"original_width": SIZE[1], "original_height": SIZE[0]}
    drawn = task(3, annotations=[{"id": 1, "result": [box]}])
    with running(tmp_path, **settings(host, SAM_AUTOMATIC="boxes")) as service:
        assert "-boxes-" in setup(service, None).json()["model_version"]
        one, other = press(service, [drawn, task(4)])
        [region] = one["result"]
        assert region["value"]["brushlabels"] == ["Airplane"]
        assert region["meta"]["box"]
        assert "result" not in other
        until(lambda: service.metric("sam_encodes_total") == 2)


def test_what_does_not_fit_into_memory_is_answered_all_the_same(host: ImageHost, tmp_path: Path) -> None:
    with running(tmp_path, **settings(host, SAM_AUTOMATIC_CACHE="1", SAM_AUTOMATIC_QUEUE="3")) as service:
        setup(service, EVERYTHING).raise_for_status()
        assert labeled(press(service, [task(0), task(1), task(2)])) == [True] * 3
        assert labeled(press(service, [task(2)])) == [True]
        assert service.metric("sam_automatic_tasks_total") == 4


# ----------------------------------------------------------------------------------------------- background work


def test_a_click_is_answered_while_the_background_works_and_stopping_takes_seconds(
    host: ImageHost, tmp_path: Path
) -> None:
    """Who waits when the service stops, for long work or for an image that does not come, gets what is ready."""
    long = EVERYTHING | {"points_per_side": 200}
    gate = threading.Event()
    never = task(50) | {"data": {"image": host.put("/data/upload/9/never.png", b"never", gate=gate)}}
    click = recordings.ask(url(7), SIZE, recordings.keypoint(20 + 5.0 * 7, 30))
    with running(tmp_path, **settings(host)) as service, ThreadPoolExecutor(1) as pool:
        setup(service, long).raise_for_status()
        waiting = pool.submit(press, service, [never, *(task(number) for number in range(TASKS))])
        until(lambda: service.metric("sam_automatic_queue") >= TASKS - 1)
        started = time.monotonic()
        answer = requests.post(f"{service.url}/predict", json=click, timeout=30)
        assert len(recordings.answered(answer)) == 1
        assert time.monotonic() - started < 5
        assert not waiting.done()
        started = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        assert labeled(waiting.result(15)) == [False] * (1 + TASKS)
        assert service.process.wait(20) == 0
        gate.set()
        assert time.monotonic() - started < 15
        assert "Traceback" not in service.log()
