"""Embeddings in memory stay within their budget."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from sam_backend.cache.memory import MemoryCache


@dataclass(frozen=True)
class Blob:
    nbytes: int


def test_least_recently_used_goes_first() -> None:
    cache: MemoryCache[str, Blob] = MemoryCache(10)
    cache.put("a", Blob(4))
    cache.put("b", Blob(4))
    assert cache.get("a") == Blob(4)
    cache.put("c", Blob(4))
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (Blob(4), None, Blob(4))


def test_what_is_larger_than_the_budget_is_let_go_and_evicts_nothing() -> None:
    cache: MemoryCache[str, Blob] = MemoryCache(10)
    cache.put("a", Blob(10))
    cache.put("b", Blob(11))
    assert (cache.get("a"), cache.get("b")) == (Blob(10), None)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40))))
def test_budget_is_never_exceeded(puts: list[tuple[int, int]]) -> None:
    cache: MemoryCache[int, Blob] = MemoryCache(100)
    for key, size in puts:
        cache.put(key, Blob(size))
        assert cache.nbytes <= 100
        assert cache.get(key) == Blob(size)
