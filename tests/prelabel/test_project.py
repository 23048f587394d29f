"""A project as source and sink, with a server that plays Label Studio: every task once, whatever goes wrong between."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from pydantic import SecretStr

from sam_backend.errors import JobError, LabelStudioError, RefusedError
from sam_backend.prelabel import studio as client
from sam_backend.prelabel.predictions import Predictions
from sam_backend.prelabel.project import Project, Tasks
from sam_backend.prelabel.types import Item, Outcome
from sam_backend.settings import Settings
from tests.support.studio import LABEL_CONFIG, LEGACY, Studio, running_studio

pytestmark = pytest.mark.filterwarnings("ignore:The `parse_obj` method")  # the SDK, when it refreshes a token

Connect = Callable[..., Project]

VERSION = "builtin-8dc5c480-f16-f32-everything-1a2b3c4d"
REGION = {"id": "sam-1", "type": "brushlabels", "from_name": "brush", "to_name": "image", "value": {}}


@pytest.fixture
def studio() -> Iterator[Studio]:
    with running_studio() as running:
        yield running


@pytest.fixture
def naps() -> list[float]:
    """How long was waited between tries; nobody waits in these tests."""
    return []


@pytest.fixture
def connect(studio: Studio, naps: list[float]) -> Iterator[Connect]:
    """Connects to the project of some id with some token."""
    with ExitStack() as stack:

        def connect(token: str = LEGACY, project: int = 1) -> Project:
            settings = Settings(label_studio_url=studio.url, label_studio_api_key=SecretStr(token))
            there = client.Studio(settings, naps.append)
            stack.callback(there.close)
            return Project(there, project)

        yield connect


@pytest.fixture
def project(connect: Connect) -> Project:
    return connect()


def parts(project: Project, **options: Any) -> tuple[Tasks, Predictions]:
    return project.parts(VERSION, **options)


def keys(tasks: Tasks) -> list[int]:
    return [int(item.key) for item in tasks]


def outcome(task: int) -> Outcome:
    prediction = {"result": [REGION], "score": 0.5, "model_version": VERSION}
    return Outcome(Item(str(task), {}), json.dumps(prediction).encode())


def view(studio: Studio, conjunction: str, *items: Any, project: int = 1) -> int:
    number = len(studio.views) + 1
    filters = {"conjunction": conjunction, "items": list(items)}
    studio.views[number] = {"id": number, "project": project, "data": {"title": "Tab", "filters": filters}}
    return number


def at(operator: str, number: int) -> dict[str, Any]:
    return {"filter": "filter:tasks:id", "operator": operator, "type": "Number", "value": number}


# --------------------------------------------------------------------------------------------------------- source


def test_every_task_comes_once_over_many_pages(project: Project, studio: Studio) -> None:
    new = studio.add_tasks(250)
    tasks, _ = parts(project)
    assert keys(tasks) == new
    assert len(tasks) == 250
    assert studio.asked.count("GET /api/tasks/") == 3 + 1 + 1  # pages, the empty one behind them, and the number


def test_an_item_is_what_the_service_would_get(project: Project, studio: Studio) -> None:
    (task,) = studio.add_tasks(1)
    (item,) = parts(project)[0]
    assert item == Item(str(task), {"id": task, "data": {"image": f"/data/upload/{task}.png"}})
    assert project.label_config == LABEL_CONFIG


def test_tasks_that_get_predictions_meanwhile_move_none_out_of_the_pages(project: Project, studio: Studio) -> None:
    new = studio.add_tasks(250)
    seen = []
    for item in parts(project)[0]:
        seen.append(int(item.key))
        if len(seen) % 2:
            studio.predict(seen[-1], VERSION)
    assert seen == new


def test_tasks_that_are_deleted_meanwhile_take_no_other_with_them(project: Project, studio: Studio) -> None:
    new = studio.add_tasks(250)
    seen = []
    for item in parts(project)[0]:
        seen.append(int(item.key))
        studio.tasks.pop(new[0], None)
    assert seen == new


def test_what_has_this_version_is_done_and_other_versions_do_not_count(project: Project, studio: Studio) -> None:
    done, other, none = studio.add_tasks(3)
    studio.predict(done, VERSION)
    studio.predict(other, "vit_b-1234")
    assert keys(parts(project)[0]) == [other, none]
    assert keys(parts(project, without_predictions=True)[0]) == [none]
    assert keys(project.all_tasks()) == [done, other, none]


@pytest.mark.parametrize("without_predictions", [False, True])
def test_a_view_shows_what_its_filters_leave(project: Project, studio: Studio, *, without_predictions: bool) -> None:
    new = studio.add_tasks(6)
    studio.predict(new[0], VERSION)
    studio.predict(new[1], "vit_b-1234")
    both = view(studio, "and", at("greater", new[0]), at("less", new[3]))
    either = view(studio, "or", at("less", new[2]), at("greater", new[4]))
    options = {"without_predictions": without_predictions}
    dropped = {new[0], new[1]} if without_predictions else {new[0]}
    assert keys(parts(project, view=both, **options)[0]) == [one for one in new[1:3] if one not in dropped]
    assert keys(parts(project, view=either, **options)[0]) == [
        one for one in (new[0], new[1], new[5]) if one not in dropped
    ]


def test_a_view_of_another_project_or_none_is_refused(project: Project, studio: Studio) -> None:
    with pytest.raises(JobError, match="belongs to project 2"):
        parts(project, view=view(studio, "and", project=2))
    with pytest.raises(JobError, match="View 99 cannot be had"):
        parts(project, view=99)
    nested = {**at("less", 3), "child_filter": at("greater", 1)}
    with pytest.raises(JobError, match="nested"):
        parts(project, view=view(studio, "or", nested, at("less", 9)))


def test_boxes_travel_and_masks_stay(project: Project, studio: Studio) -> None:
    (task,) = studio.add_tasks(1)
    box = {"id": "b1", "type": "rectanglelabels", "value": {"x": 1, "y": 2, "width": 3, "height": 4}}
    text = {"id": "b1", "type": "textarea", "value": {"text": ["seen"]}}
    mask = {"id": "m1", "type": "brushlabels", "value": {"format": "rle", "rle": [1] * 10_000}}
    studio.predict(task, "detector", [box, mask, text])
    studio.tasks[task]["annotations"] = [{"id": 5, "was_cancelled": True, "result": [box, mask]}]
    (item,) = parts(project, mode="boxes")[0]
    (prediction,), (annotation,) = item.task["predictions"], item.task["annotations"]
    assert prediction["result"] == [box, text]
    assert (prediction["model_version"], prediction["created_at"][:10]) == ("detector", "2026-11-21")
    assert (annotation["result"], annotation["was_cancelled"], annotation["id"]) == ([box], True, 5)


# ----------------------------------------------------------------------------------------------------------- sink


def test_a_prediction_is_posted_once(project: Project, studio: Studio) -> None:
    (task,) = studio.add_tasks(1)
    _, sink = parts(project)
    sink.add(outcome(task))
    sink.add(outcome(task))
    assert studio.versions(task) == [VERSION]
    assert studio.predictions[0]["result"] == [REGION]
    assert sink.finish(complete=True).endswith("/projects/1/data: 1 (1 were there already).")


def test_nothing_to_label_is_not_posted(project: Project, studio: Studio) -> None:
    (task,) = studio.add_tasks(1)
    parts(project)[1].add(Outcome(Item(str(task), {})))
    assert studio.predictions == []


@pytest.mark.parametrize("fault", ["lost", "unheard", 500, 502, 503, 429, 408])
@pytest.mark.parametrize("times", [1, 3])
def test_a_failing_post_is_repeated_after_a_look_and_leaves_one(
    project: Project, studio: Studio, fault: str | int, times: int
) -> None:
    (task,) = studio.add_tasks(1)
    studio.faults["POST", "/api/predictions"] = [fault] * times
    parts(project)[1].add(outcome(task))
    assert studio.versions(task) == [VERSION]
    posts = [index for index, asked in enumerate(studio.asked) if asked == "POST /api/predictions/"]
    assert all(studio.asked[index - 1] == "GET /api/predictions/" for index in posts)
    assert len(posts) == (1 if fault == "lost" else times + 1)


@pytest.mark.parametrize("fault", ["unheard", 500, 503, 429])
def test_a_failing_look_is_repeated_and_nothing_posted_blindly(
    project: Project, studio: Studio, fault: str | int
) -> None:
    (task,) = studio.add_tasks(1)
    studio.predict(task, VERSION)
    studio.faults["GET", "/api/predictions"] = [fault, fault]
    parts(project)[1].add(outcome(task))
    assert "POST /api/predictions/" not in studio.asked


def test_a_server_that_wants_time_gets_it(project: Project, studio: Studio, naps: list[float]) -> None:
    (task,) = studio.add_tasks(1)
    studio.faults["POST", "/api/predictions"] = [429, 503]
    parts(project)[1].add(outcome(task))
    assert naps == [17.0, client.WAITS[1]]


def test_two_runs_at_a_time_leave_one_prediction(project: Project, studio: Studio) -> None:
    """The other run posts between this one's look and its post."""
    (task,) = studio.add_tasks(1)
    post = studio.answer

    def other_first(method: str, path: str, query: Any, body: Any) -> Any:
        if method == "POST":
            studio.predict(task, VERSION, ["the other's"])
        return post(method, path, query, body)

    studio.answer = other_first  # type: ignore[method-assign]
    parts(project)[1].add(outcome(task))
    assert [one["result"] for one in studio.predictions] == [["the other's"]]


def test_a_deleted_task_is_refused_and_the_next_one_taken(project: Project, studio: Studio) -> None:
    gone, there = studio.add_tasks(2)
    del studio.tasks[gone]
    _, sink = parts(project)
    with pytest.raises(RefusedError, match="deleted"):
        sink.add(outcome(gone))
    sink.add(outcome(there))
    assert studio.versions(there) == [VERSION]


def test_a_task_that_breaks_the_server_is_refused_after_some_tries(project: Project, studio: Studio) -> None:
    bad, good = studio.add_tasks(2)
    studio.faults["POST", "/api/predictions"] = [500] * 5
    _, sink = parts(project)
    with pytest.raises(RefusedError, match="500"):
        sink.add(outcome(bad))
    sink.add(outcome(good))
    assert studio.versions(good) == [VERSION]


def test_a_server_that_stays_away_stops_the_run(project: Project, studio: Studio, naps: list[float]) -> None:
    (task,) = studio.add_tasks(1)
    studio.faults["GET", "/api/predictions"] = ["unheard"] * 99
    with pytest.raises(LabelStudioError, match="no connection") as raised:
        parts(project)[1].add(outcome(task))
    assert not isinstance(raised.value, RefusedError)
    assert sum(naps) == pytest.approx(300, rel=0.05)


# --------------------------------------------------------------------------------------------------------- tokens


def test_a_wrong_token_stops_at_once(connect: Connect, naps: list[float]) -> None:
    with pytest.raises(LabelStudioError, match=r"401: Invalid token\. Check LABEL_STUDIO_API_KEY"):
        connect("f" * 40)
    assert naps == []


def test_a_token_that_is_withdrawn_stops_the_run(project: Project, studio: Studio) -> None:
    (task,) = studio.add_tasks(1)
    studio.tokens.clear()
    with pytest.raises(LabelStudioError, match="Check LABEL_STUDIO_API_KEY") as raised:
        parts(project)[1].add(outcome(task))
    assert not isinstance(raised.value, RefusedError)


def test_a_personal_access_token_is_renewed(studio: Studio, connect: Connect) -> None:
    new = studio.add_tasks(3)
    project = connect(studio.personal_token())
    _, sink = parts(project)
    for task in new:
        sink.add(outcome(task))
        studio.tokens.clear()  # it expires on its way
    assert [studio.versions(task) for task in new] == [[VERSION]] * 3
    assert studio.refreshes == 3


@pytest.mark.parametrize("lifetime", [-10.0, 3600.0])
def test_a_personal_access_token_that_is_no_longer_valid_is_told(
    studio: Studio, connect: Connect, lifetime: float
) -> None:
    token = studio.personal_token(lifetime)
    if lifetime > 0:
        studio.faults["POST", "/api/token"] = [401, 401]
    with pytest.raises(LabelStudioError, match="Check LABEL_STUDIO_API_KEY"):
        connect(token)


@pytest.mark.parametrize("personal", [False, True])
def test_a_token_follows_no_redirect(studio: Studio, connect: Connect, *, personal: bool) -> None:
    studio.faults["GET", "/api/projects"] = [301]
    studio.faults["POST", "/api/token"] = [307]
    with pytest.raises(LabelStudioError, match="redirects to"):
        connect(studio.personal_token() if personal else LEGACY)


def test_the_token_is_in_no_message(studio: Studio, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    studio.faults["GET", "/api/projects"] = [503, 401, 401]
    with pytest.raises(LabelStudioError) as raised:
        connect()
    assert LEGACY not in caplog.text + str(raised.value)


# --------------------------------------------------------------------------------------------------------- set up


@pytest.mark.parametrize("given", [{}, {"label_studio_url": "http://127.0.0.1:1"}])
def test_what_is_not_set_is_named(given: dict[str, Any]) -> None:
    with pytest.raises(JobError, match="LABEL_STUDIO_URL"):
        client.Studio(Settings(**given))


def test_a_project_that_is_not_there_is_named(connect: Connect) -> None:
    with pytest.raises(JobError, match="Project 9 cannot be had"):
        connect(project=9)


def test_without_the_sdk_the_command_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "label_studio_sdk.base_client", None)
    settings = Settings(label_studio_url="http://127.0.0.1:1", label_studio_api_key=SecretStr(LEGACY))
    with pytest.raises(JobError, match=r"pip install --no-deps -r requirements-project\.txt"):
        client.Studio(settings)
