"""The tasks behind the opened one are warmed too, where Label Studio tells of them, and nobody waits for that."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests

from sam_backend.labelstudio import config
from sam_backend.labelstudio.addresses import Connection
from sam_backend.labelstudio.upcoming import Opened
from sam_backend.next_tasks import NextTasks
from sam_backend.pictures import Picture
from sam_backend.settings import Settings
from tests.labelstudio.servers import Reply, Server, serving
from tests.support import recordings, scenes
from tests.support.service import running
from tests.support.studio import LABEL_CONFIG, LEGACY, Studio, running_studio
from tests.support.waiting import until

CONFIG = config.parse(LABEL_CONFIG)
LIST = "GET /api/tasks"


@pytest.fixture
def studio() -> Iterator[Studio]:
    with running_studio() as running_one:
        running_one.add_tasks(6)
        yield running_one


class Warmed:
    """The addresses that were to be warmed, of each time."""

    def __init__(self) -> None:
        self.times: list[list[Picture]] = []

    def __call__(self, pictures: Sequence[Picture]) -> None:
        self.times.append(list(pictures))

    def tasks(self) -> list[list[Any]]:
        return [[picture.task_id for picture in pictures] for pictures in self.times]


@contextlib.contextmanager
def following(warmed: Warmed, **settings: Any) -> Iterator[NextTasks]:
    next_tasks = NextTasks(warmed, Settings(**settings))
    try:
        yield next_tasks
    finally:
        next_tasks.close()


def test_the_next_unlabeled_tasks_are_warmed_in_their_order(studio: Studio) -> None:
    studio.tasks[3]["completed_at"] = "2026-11-21T13:13:24.875320Z"
    connection, warmed = Connection(studio.url, LEGACY), Warmed()
    with following(warmed) as next_tasks:
        next_tasks.follow(Opened(connection, 1, 2), CONFIG)
        until(lambda: bool(warmed.times))
    assert warmed.times == [[Picture(f"/data/upload/{number}.png", connection, number) for number in (4, 5)]]
    assert studio.asked == [LIST]


def test_how_many_is_a_setting_and_the_last_task_has_none_behind_it(studio: Studio) -> None:
    warmed = Warmed()
    with following(warmed, warm_next=4) as next_tasks:
        next_tasks.follow(Opened(Connection(studio.url, LEGACY), 1, 1), CONFIG)
        until(lambda: len(warmed.times) == 1)
        next_tasks.follow(Opened(Connection(studio.url, LEGACY), 1, 6), CONFIG)
        until(lambda: len(warmed.times) == 2)
    assert warmed.tasks() == [[2, 3, 4, 5], []]


def test_the_host_and_token_of_setup_do_as_well(studio: Studio) -> None:
    warmed = Warmed()
    with following(warmed) as next_tasks:
        next_tasks.follow(Opened(Connection("", "", studio.url, LEGACY), 1, 1), CONFIG)
        until(lambda: bool(warmed.times))
    assert warmed.tasks() == [[2, 3]]


def test_a_personal_access_token_is_exchanged_first(studio: Studio) -> None:
    warmed = Warmed()
    with following(warmed) as next_tasks:
        next_tasks.follow(Opened(Connection(studio.url, studio.personal_token()), 1, 1), CONFIG)
        until(lambda: bool(warmed.times))
    assert warmed.tasks() == [[2, 3]]


@pytest.mark.parametrize("settings", [{"warm_next": 0}, {"warm_queue": 0}])
def test_it_can_be_turned_off(studio: Studio, settings: dict[str, int]) -> None:
    with following(Warmed(), **settings) as next_tasks:
        next_tasks.follow(Opened(Connection(studio.url, LEGACY), 1, 1), CONFIG)
        next_tasks._asks.close()
        next_tasks._asks.join(10)
    assert studio.asked == []


def test_without_a_token_for_it_label_studio_is_not_asked() -> None:
    """That of another host is none."""
    with serving(lambda _: Reply(200, b'{"tasks": []}')) as ours, serving(lambda _: Reply(200)) as theirs:
        warmed = Warmed()
        with following(warmed) as next_tasks:
            foreign = Connection(ours.url, "", theirs.url, "b" * 40)
            for number, connection in enumerate((Connection(ours.url), foreign, Connection("", "", theirs.url))):
                next_tasks.follow(Opened(connection, 1, number), CONFIG)
            until(lambda: len(warmed.times) == 3)
        assert warmed.tasks() == [[], [], []]
        assert ours.asked == theirs.asked == []


def test_a_redirect_is_not_followed() -> None:
    with serving(lambda _: Reply(200)) as theirs:
        answer = Reply(302, b"", {"Location": f"{theirs.url}/api/tasks"})
        with serving(lambda _: answer) as ours:
            assert "302" in _failure(Connection(ours.url, LEGACY))
        assert theirs.asked == []


@pytest.mark.parametrize(
    ("reply", "named"),
    [
        (Reply(401, b"{}"), "401"),
        (Reply(403, b"{}"), "403"),
        (Reply(404, b"{}"), "404"),
        (Reply(500, b"oh"), "500"),
        (Reply(200, b"<html>Please log in</html>"), "no list of tasks"),
        (Reply(200, b"[]"), "no list of tasks"),
        (Reply(200, b'{"tasks": null}'), "no list of tasks"),
        (Reply(200, b'{"tasks": [3]}'), "no list of tasks"),
        (Reply(200, b" " * 5_000_000), "more than"),
    ],
)
def test_what_cannot_be_had_is_told_once(reply: Reply, named: str) -> None:
    with serving(lambda _: reply) as server:
        assert named in _failure(Connection(server.url, LEGACY), server)


def test_a_label_studio_that_is_gone_is_told_once() -> None:
    with serving(lambda _: Reply(200)) as server:
        gone = server.url
    assert "no connection" in _failure(Connection(gone, LEGACY))


def test_odd_data_warms_what_can_be_warmed() -> None:
    tasks = b'{"id": null, "data": {"image": 3}}, {"id": 5, "data": {"image": "/a.png"}}, {"id": 6, "data": {}}'
    body = b'{"tasks": [%s]}' % tasks
    warmed = Warmed()
    with serving(lambda _: Reply(200, body)) as server, following(warmed, warm_next=3) as next_tasks:
        next_tasks.follow(Opened(Connection(server.url, LEGACY), 1, 1), CONFIG)
        until(lambda: bool(warmed.times))
    assert warmed.tasks() == [[5]]


def _failure(connection: Connection, server: Server | None = None) -> str:
    """What is logged, once, when two tasks are opened one after the other."""
    warmed, records = Warmed(), _Records()
    logger = logging.getLogger("sam_backend.next_tasks")
    logger.addHandler(records)
    try:
        with following(warmed) as next_tasks:
            for task in (1, 2):
                next_tasks.follow(Opened(connection, 1, task), CONFIG)
                until(lambda: not next_tasks._asks)
            next_tasks._asks.close()
            next_tasks._asks.join(30)
    finally:
        logger.removeHandler(records)
    assert warmed.times == []
    assert server is None or len(server.asked) == 2
    [message] = records.messages
    assert LEGACY not in message
    return message


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def test_opening_a_task_warms_it_and_the_next_and_retrieving_several_lists_none(studio: Studio, tmp_path: Path) -> None:
    drawn = {number: scenes.draw(320, 240, scenes.CENTER, seed=number) for number in studio.tasks}
    studio.files = {f"/data/upload/{number}.png": scenes.png(scene.rgb) for number, scene in drawn.items()}
    settings = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": LEGACY}
    with running(tmp_path, **settings) as service:
        _open(service.url, studio, 1)
        until(lambda: service.metric("sam_encodes_total") == 3)
        assert sorted(studio.asked) == [LIST, *(f"GET /data/upload/{number}.png" for number in (1, 2, 3))]
        _open(service.url, studio, 1, 4)
        until(lambda: service.metric("sam_encodes_total") == 4)
        click = recordings.ask("/data/upload/3.png", (240, 320), recordings.keypoint(50, 50))
        [region] = recordings.answered(requests.post(f"{service.url}/predict", json=click, timeout=60))
        assert scenes.iou(recordings.bitmap(region), drawn[3].objects["center"]) >= 0.8
        assert service.metric("sam_encodes_total") == 4
        assert studio.asked.count(LIST) == 1
        assert "WARNING" not in service.log()


def _open(url: str, studio: Studio, *tasks: int) -> None:
    opened = [{**studio.tasks[number], "project": 1} for number in tasks]
    body = {"tasks": opened, "project": "1.1", "label_config": LABEL_CONFIG, "params": {"context": None}}
    requests.post(f"{url}/predict", json=body, timeout=60).raise_for_status()
