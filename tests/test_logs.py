"""One line per event."""

import io
import logging
import threading

import pytest

from sam_backend import logs, metrics


@pytest.fixture
def logger() -> logging.Logger:
    """A logger of the service, whose lines stay in memory."""
    made = logging.Logger("test", logging.INFO)  # noqa: LOG001 - of this test alone
    made.addHandler(logs.handler(io.StringIO()))
    return made


def written(logger: logging.Logger) -> str:
    [handler] = logger.handlers
    assert isinstance(handler, logging.StreamHandler)
    return str(handler.stream.getvalue())


def test_a_line_has_its_requests_id_and_no_line_break(logger: logging.Logger) -> None:
    with logs.traced() as trace:
        logger.info("task %s", "1\n2026-01-01 INFO forged\r")
    logger.info("outside")
    inside, outside = written(logger).splitlines()
    assert f"[{trace.request_id}] task 1\\n2026-01-01 INFO forged\\r" in inside
    assert "[-] outside" in outside


def test_a_vast_message_is_cut(logger: logging.Logger) -> None:
    logger.info("x" * 1_000_000)
    assert len(written(logger)) < 3000


def test_stages_belong_to_their_own_request() -> None:
    seen = {}

    def work(name: str) -> None:
        with logs.traced() as trace:
            for _ in range(100):
                with metrics.stage(name):
                    pass
            seen[name] = set(trace.stages)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("fetch", "encode", "rle")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {name: {name} for name in ("fetch", "encode", "rle")}


def test_a_stage_that_fails_is_timed_too() -> None:
    with logs.traced() as trace:
        with pytest.raises(ZeroDivisionError), metrics.stage("decode"):
            raise ZeroDivisionError
        assert set(trace.stages) == {"decode"}
        assert logs.stages(trace).startswith("decode=")
