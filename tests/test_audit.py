"""`make audit` looks into every file of requirements, and does not take an empty list for good news."""

import json
import sys
from pathlib import Path

import pytest

from tests.support import audit
from tests.support.image_host import image_host

ROOT = Path(__file__).parents[1]
LISTED = {"vulnerabilities": [{"id": "PYSEC-2018-66"}]}


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (json.dumps(LISTED), 200, True),
        (json.dumps({"vulnerabilities": []}), 200, False),
        (json.dumps({"info": {}}), 200, False),
        ("<html>", 200, False),
        (json.dumps(LISTED), 404, False),
    ],
)
def test_a_list_counts_that_knows_what_is_known(body: str, status: int, expected: bool) -> None:  # noqa: FBT001
    with image_host() as host:
        path = host.put("/flask.json", body.encode(), status=status, token=None)
        assert audit.can_look_up(host.url + path) is expected


def test_a_list_that_cannot_be_reached_is_none() -> None:
    assert not audit.can_look_up("http://127.0.0.1:1/flask.json")


def test_without_a_list_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(audit, "can_look_up", lambda: False)
    monkeypatch.setattr(sys, "argv", ["audit", "--probe"])
    assert audit.main() == 1
    assert "Not audited" in capsys.readouterr().out


def test_every_file_of_requirements_is_audited() -> None:
    assert set(audit.commands()) == {path.name for path in ROOT.glob("requirements*.txt")}


def test_what_is_found_in_any_file_is_the_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"a": [sys.executable, "-c", "exit(0)"], "b": [sys.executable, "-c", "exit(1)"]}
    monkeypatch.setattr(audit, "commands", lambda: found)
    monkeypatch.setattr(sys, "argv", ["audit"])
    assert audit.main() == 1
    monkeypatch.setattr(audit, "commands", lambda: {"a": found["a"]})
    assert audit.main() == 0
