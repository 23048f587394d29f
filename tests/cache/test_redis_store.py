"""Entries in a real Redis are whole, the right ones, or a miss; one replica at a time makes what nobody has."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from sam_backend import metrics
from sam_backend.cache import redis_link, redis_store
from sam_backend.cache.memory import MemoryCache
from sam_backend.cache.redis_link import RedisLink
from sam_backend.cache.redis_store import RedisStore
from sam_backend.cache.tiers import Tiers
from tests.support.redis_server import RedisServer, serving

KEPT = 3600


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with serving(tmp_path) as running:
        yield running


def faults(kind: str) -> float:
    return metrics.REGISTRY.get_sample_value("sam_cache_faults_total", {"tier": "redis", "fault": kind}) or 0.0


@dataclass(frozen=True)
class Blob:
    data: bytes

    @property
    def nbytes(self) -> int:
        return len(self.data)


class Blobs:
    """Blobs in a store of bytes, as `embeddings.Packed` does it for embeddings."""

    name = "redis"

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def get(self, key: str) -> Blob | None:
        found = self._store.get(key)
        return None if found is None else Blob(bytes(found))

    def put(self, key: str, value: Blob) -> None:
        self._store.put(key, [value.data])

    def is_there(self) -> bool:
        return self._store.is_there()


def replica(url: str) -> Tiers[Blob]:
    store = RedisStore(RedisLink(url), KEPT)
    return Tiers(MemoryCache(10**6), [Blobs(store)], store.lease)


# ------------------------------------------------------------------------------------------------ entries


def test_an_entry_is_found_byte_for_byte_by_another_and_kept_anew_each_time(server: RedisServer) -> None:
    RedisStore(RedisLink(server.url), KEPT).put("a", [b"one", memoryview(b"two")])
    (name,) = server.client.keys()
    server.client.expire(name, 50)
    assert bytes(RedisStore(RedisLink(server.url), KEPT).get("a") or b"") == b"onetwo"
    assert KEPT - 5 <= server.client.ttl(name) <= KEPT
    assert RedisStore(RedisLink(server.url), KEPT).get("b") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry[:-1],
        lambda entry: entry[:20],
        lambda _: b"",
        lambda _: b"something else",
        lambda entry: entry[:-1] + bytes([entry[-1] ^ 1]),
    ],
    ids=["torn", "torn early", "empty", "foreign", "one bit"],
)
def test_a_broken_entry_is_a_miss_and_removed(server: RedisServer, change: Callable[[bytes], bytes]) -> None:
    store, before = RedisStore(RedisLink(server.url), KEPT), faults("broken")
    store.put("a", [b"value"])
    (name,) = server.client.keys()
    entry = server.client.get(name)
    assert isinstance(entry, bytes)
    server.client.set(name, change(entry))
    assert store.get("a") is None
    assert faults("broken") == before + 1
    assert server.client.keys() == []


def test_another_keys_entry_is_a_miss(server: RedisServer) -> None:
    store = RedisStore(RedisLink(server.url), KEPT)
    store.put("a", [b"value"])
    server.client.rename(redis_store._name("a"), redis_store._name("b"))
    assert store.get("b") is None


def test_a_value_of_another_type_is_a_miss(server: RedisServer) -> None:
    server.client.rpush(redis_store._name("a"), "not a string")
    assert RedisStore(RedisLink(server.url), KEPT).get("a") is None


# ------------------------------------------------------------------------------------------------ Redis is gone


def test_without_redis_all_goes_on_and_it_is_found_again_when_it_is_back(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "REST_SECONDS", 0.2)
    tiers = replica(server.url)
    assert tiers.get("a", lambda: Blob(b"a")) == Blob(b"a")
    tiers.flush()
    server.kill()
    before = faults("read")
    assert tiers.get("b", lambda: Blob(b"b")) == Blob(b"b")
    tiers.flush()
    assert faults("read") == before + 1
    server.start()
    time.sleep(0.3)
    assert tiers.get("c", lambda: Blob(b"c")) == Blob(b"c")
    tiers.flush()
    assert replica(server.url).get("c", never) == Blob(b"c")


def test_a_redis_that_never_answers_costs_a_moment_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "ANSWER_SECONDS", 0.2)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "redis"))
        silent.listen()
        tiers = replica(f"unix://{tmp_path / 'redis'}")
        started = time.monotonic()
        for number in range(20):
            assert tiers.get(f"{number}", lambda: Blob(b"a")) == Blob(b"a")
        assert time.monotonic() - started < 2


def never() -> Blob:
    raise AssertionError("it is known already")


# ------------------------------------------------------------------------------------------------ leases


def test_what_all_replicas_ask_for_at_once_is_made_once(server: RedisServer) -> None:
    replicas, made, together = [replica(server.url) for _ in range(3)], [], threading.Barrier(12)

    def ask(number: int) -> Blob:
        def make() -> Blob:
            made.append(number)
            time.sleep(0.3)
            return Blob(b"value")

        together.wait(10)
        return replicas[number % 3].get("a", make)

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(ask, range(12))) == {Blob(b"value")}
    assert len(made) == 1


def test_a_holder_that_lives_keeps_its_lease_and_one_that_died_loses_it(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(redis_store, "PATIENCE_SECONDS", 1.5)
    one, other = RedisStore(RedisLink(server.url), KEPT), RedisStore(RedisLink(server.url), KEPT)
    held = one.lease("a")
    assert held
    assert other.lease("a") is None, "it lives, and was renewed"
    held._over.set()  # as if its process had been killed: nobody renews, nobody releases
    started = time.monotonic()
    found = other.lease("a")
    assert found
    assert time.monotonic() - started < 1
    held.release()
    another = one.lease("b")
    assert another
    another.release()
    found.release()
    assert server.client.exists(f"{redis_store._name('a')}:lease") == 0


def test_who_fails_to_make_it_lets_the_next_one_try_at_once(server: RedisServer) -> None:
    one, other = replica(server.url), replica(server.url)

    def fail() -> Blob:
        raise ValueError("no memory")

    with pytest.raises(ValueError, match="no memory"):
        one.get("a", fail)
    started = time.monotonic()
    assert other.get("a", lambda: Blob(b"a")) == Blob(b"a")
    assert time.monotonic() - started < 1


def test_a_lease_that_was_lost_is_no_fault_of_redis(server: RedisServer) -> None:
    store, before = RedisStore(RedisLink(server.url), KEPT), faults("lock")
    held = store.lease("a")
    assert held
    server.client.flushall()
    held.release()
    assert faults("lock") == before
    assert store.is_there()
