"""However many ask at once, one computes."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sam_backend.cache.single_flight import SingleFlight


def test_simultaneous_calls_for_one_key_compute_once() -> None:
    flights: SingleFlight[str, object] = SingleFlight()
    calls: list[object] = []
    entered, release = threading.Event(), threading.Event()

    def compute() -> object:
        entered.set()
        release.wait(10)
        calls.append(object())
        return calls[-1]

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(flights.do, "a", compute)
        assert entered.wait(10)
        others = [pool.submit(flights.do, "a", compute) for _ in range(7)]
        release.set()
        results = {id(future.result(10)) for future in [first, *others]}
    assert results <= {id(call) for call in calls}
    assert id(calls[0]) in results


def test_a_failure_reaches_all_who_waited_and_the_next_call_tries_again() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    entered, release = threading.Event(), threading.Event()

    def fail() -> int:
        entered.set()
        release.wait(10)
        raise ValueError("no")

    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(flights.do, "a", fail)
        assert entered.wait(10)
        follower = pool.submit(flights.do, "a", fail)
        release.set()
        for future in (leader, follower):
            with pytest.raises(ValueError, match="no"):
                future.result(10)
    assert flights.do("a", lambda: 7) == 7


def test_different_keys_do_not_wait_for_each_other() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    release = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(flights.do, "slow", lambda: int(release.wait(10)))
        assert flights.do("quick", lambda: 2) == 2
        release.set()
        assert slow.result(10) == 1
