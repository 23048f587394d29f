"""What the service says of its state, before its model is there and after, and to whom."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sam_backend.errors import ModelError
from sam_backend.segmenter import Segmenter
from sam_backend.serving.server import create_app
from sam_backend.settings import Settings


@contextmanager
def client(**settings: object) -> Iterator[FlaskClient]:
    app = create_app(Settings.model_validate(settings))
    try:
        yield app.test_client()
    finally:
        app.extensions["sam_backend"].close()


def ready_at_last(asked: FlaskClient) -> TestResponse:
    end = time.monotonic() + 60
    while (answer := asked.get("/ready")).status_code != 200 and time.monotonic() < end:
        time.sleep(0.05)
    return answer


def test_it_lives_from_the_start_and_is_ready_once_the_model_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, load = threading.Event(), Segmenter.load

    def slowly(self: Segmenter) -> object:
        compiled.wait(60)
        return load(self)

    monkeypatch.setattr(Segmenter, "load", slowly)
    with client() as asked:
        assert asked.get("/health").status_code == 200
        answer = asked.get("/ready")
        assert (answer.status_code, answer.json and answer.json["status"]) == (503, "LOADING")
        compiled.set()
        answer = ready_at_last(asked)
        assert answer.json
        assert (answer.json["status"], answer.json["caches"]) == ("READY", {})


def test_a_model_that_cannot_be_compiled_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Segmenter) -> object:
        raise ModelError("OpenVINO could not load it.", "Export it again.")

    monkeypatch.setattr(Segmenter, "load", fail)
    with client() as asked:
        end = time.monotonic() + 30
        while (answer := asked.get("/ready")).status_code == 503 and time.monotonic() < end:
            time.sleep(0.05)
        assert answer.json
        assert answer.json["error"] == "ModelError"


@pytest.mark.parametrize(("protected", "status"), [(False, 200), (True, 401)])
def test_who_may_read_it_is_a_setting(*, protected: bool, status: int) -> None:
    given = {"basic_auth_user": "user", "basic_auth_pass": "secret", "protect_status": protected}
    with client(**given) as asked:
        if not protected:
            ready_at_last(asked)
        for path in ("/health", "/ready", "/metrics"):
            assert asked.get(path).status_code == status
            assert asked.get(path, auth=("user", "secret")).status_code in {200, 503}
        assert asked.get("/versions").status_code == 401
        assert asked.post("/webhook", json={"action": "PROJECT_UPDATED"}).status_code == 201
