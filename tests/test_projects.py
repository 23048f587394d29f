"""What is remembered of projects."""

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sam_backend.cache.redis_link import RedisLink
from sam_backend.cache.redis_store import RedisStore
from sam_backend.cache.stores import open_state
from sam_backend.labelstudio.bodies import read_setup
from sam_backend.projects import Project, Projects
from sam_backend.settings import Settings
from tests.support.redis_server import RedisServer, serving

FULL = Project("<View/>", "http://a", "secret", {"points_per_side": 8, "label": "Ö"})


def test_projects_do_not_see_each_other_and_the_newest_setup_counts() -> None:
    projects = Projects()
    projects.remember("6.1", Project("old", "http://a", "a"))
    projects.remember("6.2", Project("config", "http://b", "b"))
    projects.remember("6.1", Project("new", "http://a", "a"))
    assert projects.get("6.1").label_config == "new"
    assert projects.get("6.2").hostname == "http://b"
    assert projects.get("6") == Project()


def test_the_least_recently_used_project_is_forgotten_first() -> None:
    projects = Projects(most=4100)
    projects.remember("1", Project("one"))
    projects.remember("2", Project("two"))
    projects.get("1")
    projects.remember("3", Project("three"))
    assert [projects.get(key).label_config for key in "123"] == ["one", "", "three"]


def test_long_label_configs_leave_room_for_fewer_projects() -> None:
    projects = Projects()
    for number in range(50):
        projects.remember(str(number), Project("x" * 2_000_000))
    known = [number for number in range(50) if projects.get(str(number)).label_config]
    assert known == list(range(50 - len(known), 50))
    assert 25 < len(known) <= 32


def test_threads_may_set_up_and_ask_at_once() -> None:
    projects = Projects(most=100_500)

    def work(number: int) -> bool:
        key = str(number % 100)
        projects.remember(key, Project(key))
        return projects.get(key).label_config in (key, "")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(5000)))


def test_a_token_is_never_shown() -> None:
    project = Project("config", "http://a", "secret-token", {"password": "secret-extra"})
    setup = read_setup({"project": "1", "schema": "x", "access_token": "secret-token", "extra_params": "secret-extra"})
    for shown in (repr(project), str(project), repr(setup), str(setup)):
        assert "secret" not in shown


# ------------------------------------------------------------------------------------------------ elsewhere


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with serving(tmp_path) as running:
        yield running


def test_another_replica_knows_what_the_first_was_told_and_the_newest_counts(server: RedisServer) -> None:
    one, other = (Projects(RedisStore(RedisLink(server.url), 60)) for _ in range(2))
    one.remember("6.1", FULL)
    assert other.get("6.1") == FULL
    assert other.get("6.2") == Project()
    other.remember("6.1", Project("newer"))
    assert one.get("6.1") == Project("newer")


def test_a_restart_knows_it_from_the_folder_which_is_nobody_elses_to_read(tmp_path: Path) -> None:
    settings = Settings.model_validate({"cache_dir": tmp_path / "cache"})
    Projects(open_state(settings, None, "state", 60)).remember("6.1", FULL)
    assert Projects(open_state(settings, None, "state", 60)).get("6.1") == FULL
    assert stat.S_IMODE((tmp_path / "cache/state").stat().st_mode) == 0o700
