"""What is remembered of projects."""

from concurrent.futures import ThreadPoolExecutor

from sam_backend.labelstudio.bodies import read_setup
from sam_backend.projects import Project, Projects


def test_projects_do_not_see_each_other_and_the_newest_setup_counts() -> None:
    projects = Projects()
    projects.remember("6.1", Project("old", "http://a", "a"))
    projects.remember("6.2", Project("config", "http://b", "b"))
    projects.remember("6.1", Project("new", "http://a", "a"))
    assert projects.get("6.1").label_config == "new"
    assert projects.get("6.2").hostname == "http://b"
    assert projects.get("6") == Project()


def test_the_least_recently_used_project_is_forgotten_first() -> None:
    projects = Projects(most=2)
    projects.remember("1", Project("one"))
    projects.remember("2", Project("two"))
    projects.get("1")
    projects.remember("3", Project("three"))
    assert [projects.get(key).label_config for key in "123"] == ["one", "", "three"]


def test_threads_may_set_up_and_ask_at_once() -> None:
    projects = Projects(most=50)

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
