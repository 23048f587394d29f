"""The background thread: newest first, bounded, no duplicates, and it outlives what fails."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable

import pytest

from sam_backend.errors import ImageUnavailableError
from sam_backend.warmer import Warmer, step_back


class Work:
    """Notes the jobs that were done; the first one waits until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.done: list[str] = []

    def __call__(self, job: str) -> None:
        self.begun.set()
        assert self.go_on.wait(10)
        self.done.append(job)
        if job == "missing":
            raise ImageUnavailableError("The image's server answered 404.", "Check that the image exists.")
        if job == "broken":
            raise ZeroDivisionError


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_newest_first_each_once_and_the_oldest_let_go() -> None:
    work = Work()
    warmer = Warmer[str, str](str, work, most=3)
    warmer.add(["first"])
    assert work.begun.wait(10)
    warmer.add(["a"])
    warmer.add(["b"])
    warmer.add(["c", "d"])
    warmer.add(["b"])
    work.go_on.set()
    until(lambda: len(work.done) == 4)
    warmer.close()
    assert work.done == ["first", "b", "c", "d"]


def test_the_first_of_a_request_goes_first() -> None:
    work = Work()
    warmer = Warmer[str, str](str, work, most=10)
    work.go_on.set()
    warmer.add(["one", "two", "three"])
    until(lambda: len(work.done) == 3)
    warmer.close()
    assert work.done == ["one", "two", "three"]


def test_a_failure_is_logged_and_the_next_job_is_done(caplog: pytest.LogCaptureFixture) -> None:
    work = Work()
    work.go_on.set()
    warmer = Warmer[str, str](str, work, most=10)
    with caplog.at_level(logging.WARNING):
        warmer.add(["missing", "broken", "fine"])
        until(lambda: len(work.done) == 3)
    warmer.close()
    named, unnamed = caplog.records
    assert "ImageUnavailableError: The image's server answered 404. Check that the image exists." in named.message
    assert unnamed.exc_info


def test_nothing_is_queued_when_it_is_turned_off() -> None:
    work = Work()
    warmer = Warmer[str, str](str, work, most=0)
    warmer.add(["one"])
    assert not work.begun.wait(0.2)
    warmer.close()


def test_closing_waits_for_the_job_under_way_and_forgets_the_rest() -> None:
    work = Work()
    warmer = Warmer[str, str](str, work, most=10)
    warmer.add(["under way", "waiting"])
    assert work.begun.wait(10)
    closing = threading.Thread(target=warmer.close)
    closing.start()
    until(lambda: warmer._closed)
    work.go_on.set()
    closing.join(10)
    warmer.add(["late"])
    assert work.done == ["under way"]


def test_closing_ends_though_the_job_under_way_does_not() -> None:
    work = Work()
    warmer = Warmer[str, str](str, work, most=10)
    warmer.add(["endless"])
    assert work.begun.wait(10)
    started = time.monotonic()
    warmer.close(timeout=0.1)
    assert time.monotonic() - started < 5
    work.go_on.set()


def test_adding_never_waits_for_work() -> None:
    work = Work()
    warmer = Warmer[str, str](str, work, most=1000)
    started = time.monotonic()
    for number in range(2000):
        warmer.add([str(number)])
    assert time.monotonic() - started < 2
    work.go_on.set()
    warmer.close()


class Halves:
    """Notes what is made ready and what is done, in order; the first to be done waits until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.ready: list[str] = []
        self.done: list[str] = []

    def prepare(self, job: str) -> str:
        self.ready.append(job)
        if job == "missing":
            raise ImageUnavailableError("The image's server answered 404.", "Check that the image exists.")
        return f"{job} {self.ready.count(job)}"

    def work(self, ready: str) -> None:
        self.begun.set()
        assert self.go_on.wait(10)
        self.done.append(ready)


def test_the_next_jobs_are_made_ready_while_one_is_done_and_no_more_than_two() -> None:
    halves = Halves()
    warmer = Warmer[str, str](halves.prepare, halves.work, most=10)
    warmer.add(["first"])
    assert halves.begun.wait(10)
    warmer.add(["a", "b", "c", "d"])
    until(lambda: len(halves.ready) == 3)
    assert halves.ready == ["first", "a", "b"]
    assert not halves.done
    halves.go_on.set()
    until(lambda: len(halves.done) == 5)
    warmer.close()
    assert halves.done == ["first 1", "a 1", "b 1", "c 1", "d 1"]
    assert sorted(halves.ready) == sorted({"first", "a", "b", "c", "d"})


def test_a_newer_job_overtakes_those_that_are_ready_and_each_is_done() -> None:
    halves = Halves()
    warmer = Warmer[str, str](halves.prepare, halves.work, most=10)
    warmer.add(["first"])
    assert halves.begun.wait(10)
    warmer.add(["a", "b"])
    until(lambda: "b" in halves.ready)
    warmer.add(["newer"])
    until(lambda: "newer" in halves.ready)
    halves.go_on.set()
    until(lambda: len(halves.done) == 4)
    warmer.close()
    assert [one.split()[0] for one in halves.done] == ["first", "newer", "a", "b"]


def test_a_job_that_is_added_again_is_made_ready_again() -> None:
    """What a task showed before it was opened again does not count."""
    halves = Halves()
    warmer = Warmer[str, str](halves.prepare, halves.work, most=10)
    warmer.add(["first"])
    assert halves.begun.wait(10)
    warmer.add(["a"])
    until(lambda: "a" in halves.ready)
    warmer.add(["a"])
    until(lambda: halves.ready.count("a") == 2)
    halves.go_on.set()
    until(lambda: len(halves.done) == 2)
    warmer.close()
    assert halves.done == ["first 1", "a 2"]


def test_a_job_that_cannot_be_made_ready_is_told_in_its_turn_and_once(caplog: pytest.LogCaptureFixture) -> None:
    halves = Halves()
    warmer = Warmer[str, str](halves.prepare, halves.work, most=10)
    with caplog.at_level(logging.WARNING):
        warmer.add(["first"])
        assert halves.begun.wait(10)
        warmer.add(["missing", "a"])
        until(lambda: "a" in halves.ready)
        assert not caplog.records
        halves.go_on.set()
        until(lambda: len(halves.done) == 2)
    warmer.close()
    assert ["404" in record.message for record in caplog.records] == [True]


def test_the_working_thread_is_prepared_once() -> None:
    names: list[str] = []
    halves = Halves()
    halves.go_on.set()
    warmer = Warmer[str, str](halves.prepare, halves.work, 10, lambda: names.append(threading.current_thread().name))
    assert names == []
    warmer.add(["a", "b"])
    until(lambda: len(halves.done) == 2)
    warmer.close()
    assert names == ["warmer"]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
def test_who_steps_back_does_so_for_one_thread() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    seen: list[int] = []

    def work() -> None:
        step_back()
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [19]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
