"""The first tier that has a value gives it; nobody waits for a store to take one."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from sam_backend import metrics
from sam_backend.cache.aside import Aside
from sam_backend.cache.faults import Faults
from sam_backend.cache.memory import MemoryCache
from sam_backend.cache.tiers import Tiers


@dataclass(frozen=True)
class Blob:
    text: str
    nbytes: int = 1


@dataclass
class Shelf:
    """A store in a dictionary."""

    name: str
    values: dict[str, Blob] = field(default_factory=dict)
    asked: int = 0
    before_put: Callable[[], object] = bool

    def get(self, key: str) -> Blob | None:
        self.asked += 1
        return self.values.get(key)

    def put(self, key: str, value: Blob) -> None:
        self.before_put()
        self.values[key] = value

    def is_there(self) -> bool:
        return True


def never() -> Blob:
    raise AssertionError("it is known already")


def count(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def test_what_is_made_goes_into_every_tier() -> None:
    near, far = Shelf("near"), Shelf("far")
    tiers = Tiers(MemoryCache(10), [near, far])
    assert tiers.get("a", lambda: Blob("a")) == Blob("a")
    tiers.flush()
    assert near.values == far.values == {"a": Blob("a")}
    assert tiers.get("a", never) == Blob("a")
    assert (near.asked, far.asked) == (1, 1)


def test_what_is_found_below_goes_into_the_tiers_above() -> None:
    near, far = Shelf("near"), Shelf("far", {"a": Blob("a")})
    tiers = Tiers(MemoryCache(10), [near, far])
    assert tiers.get("a", never) == Blob("a")
    tiers.flush()
    assert near.values == {"a": Blob("a")}
    assert tiers.get("a", never) == Blob("a")
    assert far.asked == 1


def test_each_tier_counts_its_own_hits_and_misses() -> None:
    tiers = Tiers(MemoryCache(10), [Shelf("shelf", {"a": Blob("a")})])

    def counts() -> list[float]:
        return [
            count(f"sam_cache_{kind}_total", cache="embeddings", tier=tier)
            for tier in ("memory", "shelf")
            for kind in ("hits", "misses")
        ]

    before = counts()
    tiers.get("a", never)
    tiers.get("a", never)
    tiers.get("b", lambda: Blob("b"))
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 2, 1, 1]


def test_all_who_ask_at_once_read_the_store_once_and_make_the_value_once() -> None:
    shelf, made, together = Shelf("shelf"), [], threading.Barrier(8)
    tiers: Tiers[Blob] = Tiers(MemoryCache(10), [shelf])

    def make() -> Blob:
        made.append("a")
        return Blob("a")

    def ask(_: int) -> Blob:
        together.wait(10)
        return tiers.get("a", make)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {Blob("a")}
    assert (made, shelf.asked) == (["a"], 1)


def test_nobody_waits_for_a_slow_store_and_too_much_at_once_is_dropped_and_counted() -> None:
    release = threading.Event()
    shelf = Shelf("slow", before_put=lambda: release.wait(10))
    tiers = Tiers(MemoryCache(1000), [shelf])
    before = count("sam_cache_faults_total", tier="slow", fault="dropped")
    for number in range(40):
        assert tiers.get(f"{number}", lambda: Blob("x")) == Blob("x")
    assert shelf.values == {}
    release.set()
    tiers.flush()
    assert len(shelf.values) == 32
    assert count("sam_cache_faults_total", tier="slow", fault="dropped") == before + 8


def test_stored_is_what_outlives_the_process() -> None:
    shelf = Shelf("shelf", {"a": Blob("a")})
    tiers = Tiers(MemoryCache(10), [shelf])
    assert tiers.is_stored("a")
    assert not tiers.is_stored("b")
    alone: Tiers[Blob] = Tiers(MemoryCache(10))
    alone.get("a", lambda: Blob("a"))
    assert not alone.is_stored("a")


def test_work_aside_that_fails_is_logged_and_the_next_is_done(caplog: pytest.LogCaptureFixture) -> None:
    aside, done = Aside("test", 2), threading.Event()
    nothing: dict[str, str] = {}
    assert aside.add(lambda: nothing["missing"])
    aside.flush()
    assert aside.add(done.set)
    aside.flush()
    assert done.is_set()
    assert "KeyError" in caplog.text


def test_a_fault_is_said_once_a_minute_with_the_number_of_those_unsaid(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    faults = Faults("test", lambda: now)
    for _ in range(5):
        faults.note("write", "the disk is full")
    faults.note("read", "the disk is gone")
    now = 61.0
    faults.note("write", "the disk is full")
    assert [record.getMessage() for record in caplog.records] == [
        "The test cache goes on after a fault (write): the disk is full.",
        "The test cache goes on after a fault (read): the disk is gone.",
        "The test cache goes on after a fault (write): the disk is full (4 more since the last time).",
    ]
    assert count("sam_cache_faults_total", tier="test", fault="write") == 6
