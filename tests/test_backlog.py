"""Work in the background: newest request first, each thing once, bounded, and it outlives what fails."""

import logging
import threading
import time
from concurrent.futures import CancelledError

import pytest

from sam_backend.errors import ImageUnavailableError
from sam_backend.preannotation.backlog import Backlog, Job, LetGoError
from tests.support.waiting import until


class Work:
    """Notes the jobs that were begun; each waits until it may go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.begun: list[str] = []

    def job(self, name: str, request: int = 0, rank: int = 0, until: float = 0.0) -> Job[str, str]:
        return Job(name, self, (-request, rank), until)

    def __call__(self, job: Job[str, str]) -> str:
        self.begun.append(job.key)
        assert self.go_on.wait(10)
        if job.key == "missing":
            raise ImageUnavailableError("The image's server answered 404.", "Check that the image exists.")
        if job.key == "broken":
            raise ZeroDivisionError
        if job.key == "let go":
            raise LetGoError
        return f"done {job.key}"


@pytest.fixture
def work() -> Work:
    return Work()


def backlog(most: int = 100, *, join_running: bool = True) -> Backlog[str, str]:
    return Backlog("test", 1, most, join_running=join_running)


def test_the_newest_request_first_and_within_it_the_tasks_in_order(work: Work) -> None:
    jobs = backlog()
    [first] = jobs.add([work.job("first")])
    until(lambda: work.begun == ["first"])
    jobs.add([work.job("a", 1, 0), work.job("b", 1, 1), work.job("c", 1, 2)])
    jobs.add([work.job("d", 2, 0), work.job("e", 2, 1)])
    assert len(jobs) == 5
    work.go_on.set()
    until(lambda: len(work.begun) == 6)
    assert work.begun == ["first", "d", "e", "a", "b", "c"]
    assert first.future.result(10) == "done first"


def test_what_waits_already_is_shared_and_moves_ahead(work: Work) -> None:
    jobs = backlog()
    jobs.add([work.job("first")])
    until(lambda: work.begun == ["first"])
    old, _ = jobs.add([work.job("a", 1, 0, until=1), work.job("b", 1, 1)])
    jobs.add([work.job("c", 2, 0)])
    [again] = jobs.add([work.job("a", 3, 0, until=5)])
    assert again is old
    assert again.until == 5
    assert len(jobs) == 3
    work.go_on.set()
    assert again.future.result(10) == "done a"
    until(lambda: len(work.begun) == 4)
    assert work.begun == ["first", "a", "c", "b"]


@pytest.mark.parametrize("join_running", [True, False])
def test_what_is_being_done_is_shared_where_that_is_as_good(work: Work, *, join_running: bool) -> None:
    jobs = backlog(join_running=join_running)
    [running] = jobs.add([work.job("a")])
    until(lambda: work.begun == ["a"])
    [again] = jobs.add([work.job("a", 1)])
    assert (again is running) == join_running
    work.go_on.set()
    assert again.future.result(10) == "done a"
    assert len(work.begun) == (1 if join_running else 2)


def test_more_than_may_wait_lets_go_of_the_oldest_and_of_a_requests_last(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = backlog(most=3)
    jobs.add([work.job("first")])
    until(lambda: work.begun == ["first"])
    [oldest] = jobs.add([work.job("oldest", 1)])
    with caplog.at_level(logging.WARNING):
        *_, last = jobs.add([work.job(name, 2, rank) for rank, name in enumerate("abcd")])
    for job in (oldest, last):
        with pytest.raises(CancelledError):
            job.future.result(0)
    assert "SAM_AUTOMATIC_QUEUE" in caplog.text
    work.go_on.set()
    until(lambda: len(work.begun) == 4)
    assert work.begun == ["first", "a", "b", "c"]


def test_a_failure_is_logged_told_to_who_waits_and_the_next_job_is_done(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = backlog()
    work.go_on.set()
    with caplog.at_level(logging.WARNING):
        names = ["missing", "broken", "let go", "fine"]
        missing, broken, let_go, fine = jobs.add([work.job(name, 0, rank) for rank, name in enumerate(names)])
        assert fine.future.result(10) == "done fine"
    for job, error in ((missing, ImageUnavailableError), (broken, ZeroDivisionError), (let_go, LetGoError)):
        with pytest.raises(error):
            job.future.result(0)
    named, unnamed = caplog.records
    assert "ImageUnavailableError: The image's server answered 404. Check that the image exists." in named.message
    assert unnamed.exc_info


def test_a_failure_is_not_remembered(work: Work) -> None:
    jobs = backlog()
    work.go_on.set()
    for count in (1, 2):
        [job] = jobs.add([work.job("missing")])
        with pytest.raises(ImageUnavailableError):
            job.future.result(10)
        assert len(work.begun) == count


def test_closing_lets_go_of_what_waits_and_wakes_who_waits_for_it(work: Work) -> None:
    jobs = backlog()
    running, waiting = jobs.add([work.job("running"), work.job("waiting", 0, 1)])
    until(lambda: work.begun == ["running"])
    jobs.close()
    with pytest.raises(CancelledError):
        waiting.future.result(10)
    [late] = jobs.add([work.job("late")])
    assert late.future.cancelled()
    started = time.monotonic()
    jobs.join(0.05)
    assert time.monotonic() - started < 5
    work.go_on.set()
    assert running.future.result(10) == "done running"
    jobs.join(10)
    assert work.begun == ["running"]


def test_a_job_is_awaited_until_its_last_asker_gives_up(work: Work) -> None:
    assert work.job("a", until=time.monotonic() + 100).is_awaited
    assert not work.job("a", until=time.monotonic() - 1).is_awaited


def test_asking_for_the_same_again_and_again_takes_no_memory(work: Work) -> None:
    jobs = backlog()
    jobs.add([work.job("first")])
    until(lambda: work.begun == ["first"])
    for request in range(1, 500):
        jobs.add([work.job(name, request, rank) for rank, name in enumerate("abcdefghij")])
    assert len(jobs) == 10
    assert len(jobs._heap) < 2000
    work.go_on.set()
    until(lambda: len(work.begun) == 11)
    assert work.begun == ["first", *"abcdefghij"]


def test_many_askers_of_few_things_in_many_threads() -> None:
    """Each thing is done at most once at a time, and each asker gets its own thing."""
    busy: set[str] = set()

    def work(job: Job[str, str]) -> str:
        assert job.key not in busy
        busy.add(job.key)
        time.sleep(0.0005)
        busy.remove(job.key)
        return f"done {job.key}"

    jobs: Backlog[str, str] = Backlog("test", 4, 1000, join_running=True)
    wrong: list[str] = []

    def ask(request: int) -> None:
        names = [str((request * 7 + rank) % 10) for rank in range(10)]
        asked = jobs.add([Job(name, work, (-request, rank)) for rank, name in enumerate(names)])
        wrong.extend(name for name, job in zip(names, asked, strict=True) if job.future.result(10) != f"done {name}")

    threads = [threading.Thread(target=ask, args=(request,)) for request in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
