"""What replicas and a restart note for each other, on a real Redis and in a real folder."""

import fcntl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sam_backend.cache import disk, redis_link
from sam_backend.cache.disk import DiskCache
from sam_backend.cache.redis_link import RedisLink
from sam_backend.cache.redis_store import RedisStore
from sam_backend.joins import Asked, Joins, Place
from sam_backend.labelstudio.regions import Click, Rectangle
from sam_backend.notes import Notes, Shelf
from sam_backend.recent import Recent
from tests.support.redis_server import RedisServer, serving

SECONDS = 60
HERE = Place("6.1", "1", "image", 0, ("Car",))

Words = tuple[str, ...]


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with serving(tmp_path) as running:
        yield running


@pytest.fixture(params=["disk", "redis"])
def shelves(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Shelf, Shelf]]:
    """The same shelf as two processes see it."""
    if request.param == "disk":
        yield DiskCache(tmp_path, 10**6), DiskCache(tmp_path, 10**6)
        return
    with serving(tmp_path) as running:
        one, other = (RedisStore(RedisLink(running.url), SECONDS) for _ in range(2))
        yield one, other


def words(shelf: Shelf | None, clock: Clock | None = None) -> Notes[Words]:
    return Notes("words", Words, shelf, clock=clock or Clock())


def add(notes: Notes[Words], word: str, key: str = "a") -> Words:
    return notes.change(key, lambda known: (*(known or ()), word))


def test_what_one_notes_the_other_finds_and_goes_on_with(shelves: tuple[Shelf, Shelf]) -> None:
    one, other = (words(shelf) for shelf in shelves)
    assert one.get("a") is None
    assert add(one, "x") == ("x",)
    assert other.get("a") == ("x",)
    assert add(other, "y") == ("x", "y")
    assert (one.get("a"), one.get("b")) == (("x", "y"), None)


def test_the_latest_counts_whatever_the_clocks_say(shelves: tuple[Shelf, Shelf]) -> None:
    fast, slow = words(shelves[0], Clock(5000.0)), words(shelves[1], Clock(1000.0))
    add(fast, "x")
    add(slow, "y")
    assert fast.get("a") == ("x", "y")
    assert add(fast, "z") == ("x", "y", "z")
    assert slow.get("a") == ("x", "y", "z")


def test_nothing_is_lost_where_many_note_at_once(shelves: tuple[Shelf, Shelf]) -> None:
    notes = [words(shelf) for shelf in shelves]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: add(notes[number % 2], str(number)), range(200)))
    for one in notes:
        assert sorted(one.get("a") or (), key=int) == [str(number) for number in range(200)]


def test_kinds_do_not_see_each_other(shelves: tuple[Shelf, Shelf]) -> None:
    add(words(shelves[0]), "x")
    assert Notes("other words", Words, shelves[0]).get("a") is None


def test_memory_alone_forgets_after_its_time() -> None:
    clock = Clock()
    notes = Notes("words", Words, seconds=10, clock=clock)
    add(notes, "x")
    clock.now += 9
    assert notes.get("a") == ("x",)
    clock.now += 1
    assert notes.get("a") is None
    assert add(notes, "y") == ("y",)


def test_what_is_something_else_is_as_if_it_were_not_there(shelves: tuple[Shelf, Shelf]) -> None:
    for text in (b"", b"[]", b"{}", b"[1]", b'["x", []]', b"[1, [2]]", b"\xff"):
        assert shelves[0].change("words a", lambda _, text=text: text)  # type: ignore[misc]
        assert words(shelves[1]).get("a") is None
    assert add(words(shelves[1]), "x") == ("x",)


def test_what_was_noted_while_redis_was_gone_is_not_undone_when_it_is_back(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "REST_SECONDS", 0.0)
    clock = Clock()
    one, other = (words(RedisStore(RedisLink(server.url), SECONDS), clock) for _ in range(2))
    add(one, "old")
    kept = {name: server.client.get(name) for name in server.client.keys("*")}
    server.kill()
    clock.now += 1
    assert add(one, "new") == ("old", "new")
    assert one.get("a") == ("old", "new")
    server.start()
    for name, entry in kept.items():
        server.client.set(name, entry)  # type: ignore[arg-type]
    assert one.get("a") == ("old", "new")
    assert other.get("a") == ("old", "new")


def test_a_folder_that_cannot_be_written_leaves_it_to_memory(tmp_path: Path) -> None:
    notes = words(DiskCache(tmp_path / "cache", 10**6))
    (tmp_path / "cache").rename(tmp_path / "gone")
    (tmp_path / "cache").write_text("in its place")
    assert add(notes, "x") == ("x",)
    assert notes.get("a") == ("x",)


def test_a_process_that_stopped_in_the_middle_of_a_change_stops_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "LOCK_SECONDS", 0.05)
    notes = words(DiskCache(tmp_path, 10**6))
    add(notes, "x")
    with (tmp_path / "lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert add(notes, "y") == ("x", "y")
        assert notes.get("a") == ("x", "y")
    assert add(notes, "z") == ("x", "y", "z")
    assert words(DiskCache(tmp_path, 10**6)).get("a") == ("x", "y", "z")


# ------------------------------------------------------------------------------------------------ what is noted


def test_what_was_asked_comes_back_as_it_was(shelves: tuple[Shelf, Shelf]) -> None:
    asked = (
        Asked("k", Click(1.5, 2.0, is_positive=False), 3.25),
        Asked(
            "r", Rectangle(1.0, 2.0, 3.0, 4.0, 90.0), 4.0, (Rectangle(1, 2, 3, 4, 5),), frozenset("ab"), frozenset("b")
        ),
    )
    Joins(SECONDS, shelves[0])._notes.change(HERE.key, lambda _: asked)
    assert Joins(SECONDS, shelves[1])._notes.get(HERE.key) == asked


def test_an_answer_comes_back_as_it_was(shelves: tuple[Shelf, Shelf]) -> None:
    result = {"id": "a", "type": "brushlabels", "value": {"format": "rle", "rle": [0, 255, 3], "brushlabels": ["Ö"]}}
    Recent(shelves[0]).remember(HERE, ["k1"], [result])
    assert Recent(shelves[1]).masks(HERE, ["k2"]) == {"a": result}
    assert Recent(shelves[1]).masks(HERE, ["k1"]) == {}
