"""The shelf of finished work: what was asked for goes first, and a full one says so."""

import threading

from sam_backend.cache.shelf import FRESH_SECONDS, Shelf


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_value_stays_until_there_is_no_room() -> None:
    shelf = Shelf[str](10)
    shelf.put("a", b"aaaa")
    shelf.put("b", b"bbbb")
    assert (shelf.get("a"), shelf.get("b"), shelf.get("c")) == (b"aaaa", b"bbbb", None)
    shelf.put("c", b"cccc")
    assert (shelf.get("a"), shelf.get("b"), shelf.get("c")) == (None, b"bbbb", b"cccc")
    assert shelf.nbytes == 8


def test_what_was_asked_for_goes_before_what_was_not() -> None:
    shelf = Shelf[str](10)
    shelf.put("a", b"aaaa")
    shelf.put("b", b"bbbb")
    shelf.ask("b")
    shelf.put("c", b"cccc")
    assert (shelf.get("a"), shelf.get("b"), shelf.get("c")) == (b"aaaa", None, b"cccc")


def test_it_is_full_of_what_nobody_asked_for_yet() -> None:
    shelf = Shelf[str](10)
    shelf.put("a", b"aaaaa")
    assert not shelf.is_full
    shelf.put("b", b"bbbbb")
    assert shelf.is_full
    shelf.ask("a")
    shelf.ask("nothing")
    assert not shelf.is_full


def test_what_nobody_asks_for_in_hours_fills_it_no_longer() -> None:
    clock = Clock()
    shelf = Shelf[str](10, clock)
    shelf.put("a", b"aaaaaaaaaa")
    clock.now = FRESH_SECONDS - 1
    assert shelf.is_full
    clock.now = FRESH_SECONDS + 1
    assert not shelf.is_full
    assert shelf.get("a")


def test_a_value_that_is_put_again_counts_once_and_one_too_large_not_at_all() -> None:
    shelf = Shelf[str](10)
    for _ in range(5):
        shelf.put("a", b"aaaaa")
    assert shelf.nbytes == 5
    shelf.put("b", b"b" * 11)
    assert (shelf.get("b"), shelf.nbytes) == (None, 5)
    shelf.put("a", b"a" * 11)
    assert (shelf.get("a"), shelf.nbytes) == (None, 0)
    assert not shelf.is_full


def test_the_budget_holds_with_many_threads() -> None:
    shelf = Shelf[int](1000)

    def use(start: int) -> None:
        for number in range(start, start + 300):
            shelf.put(number % 97, bytes(number % 50))
            shelf.ask((number * 7) % 97)
            assert shelf.nbytes <= 1000
            assert shelf.is_full in (True, False)

    threads = [threading.Thread(target=use, args=(start,)) for start in range(0, 800, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [shelf.get(number) for number in range(97)]
    assert shelf.nbytes == sum(len(value) for value in kept if value)
