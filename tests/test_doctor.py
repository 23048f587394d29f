"""What `sam-backend doctor` finds: what is well is said, what is not has a remedy, and no secret is shown."""

import io
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sam_backend import settings
from sam_backend.doctor import machine
from sam_backend.doctor import studio as checks
from sam_backend.doctor.finding import Finding, Verdict
from tests.support.service import command, environment
from tests.support.studio import LEGACY, Studio, running_studio

OK, NOTE, FAILED = Verdict.OK, Verdict.NOTE, Verdict.FAILED
CONNECTED = {"url": "http://sam:9090", "readable_state": "Connected", "error_message": None, "is_interactive": True}


@pytest.fixture
def studio() -> Iterator[Studio]:
    with running_studio() as running:
        (number,) = running.add_tasks(1)
        file = io.BytesIO()
        PIL.Image.fromarray(np.full((60, 80, 3), 150, np.uint8)).save(file, "png")
        running.files[f"/data/upload/{number}.png"] = file.getvalue()
        running.backends = [CONNECTED]
        yield running


def examined(studio: Studio, project: int | None = 1, **more: str) -> dict[str, Finding]:
    given = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": LEGACY, **more}
    return {finding.topic: finding for finding in checks.examine(settings.load(given), project)}


def of_machine(**given: str) -> dict[str, Finding]:
    return {finding.topic: finding for finding in machine.examine(settings.load(given))}


def is_explained(finding: Finding) -> bool:
    return finding.verdict is OK or bool(finding.remedy)


# ------------------------------------------------------------------------------------------------ Label Studio


@pytest.mark.parametrize("project", [1, None])
def test_all_is_well(studio: Studio, project: int | None) -> None:
    found = examined(studio, project)
    assert [*found] == ["label studio", "token", "label config", "image", "connection"]
    assert {finding.verdict for finding in found.values()} == {OK}
    assert found["token"].text == "A legacy token of admin@localhost."
    assert found["image"].text.startswith("That of task 1: 80×60 in ")


def test_a_personal_access_token_is_told_from_a_legacy_one(studio: Studio) -> None:
    found = examined(studio, LABEL_STUDIO_API_KEY=studio.personal_token())
    assert found["token"].text == "A personal access token of admin@localhost."
    assert found["image"].verdict is OK


@pytest.mark.parametrize("token", ["1234", "expired"])
def test_a_token_that_is_refused_is_no_secret_spilled(studio: Studio, token: str) -> None:
    given = studio.personal_token(-10) if token == "expired" else token
    found = [*examined(studio, LABEL_STUDIO_API_KEY=given).values()]
    assert found[-1].verdict is FAILED
    assert "LABEL_STUDIO_API_KEY" in found[-1].remedy
    assert not any(given in finding.text + finding.remedy for finding in found)


def test_label_studio_is_not_there() -> None:
    found = [*checks.examine(settings.load({"LABEL_STUDIO_URL": "http://127.0.0.1:9"}), None)]
    assert [(finding.verdict, finding.topic) for finding in found] == [(FAILED, "label studio")]
    assert "no connection to 'http://127.0.0.1:9/" in found[0].text


@pytest.mark.parametrize(
    ("more", "is_open"),
    [
        ({}, False),
        ({"SAM_HOST": "0.0.0.0"}, True),
        ({"SAM_HOST": "0.0.0.0", "BASIC_AUTH_USER": "ann", "BASIC_AUTH_PASS": "x"}, False),
    ],
)
def test_an_open_port_without_label_studios_address_is_noted(more: dict[str, str], is_open: object) -> None:
    [found] = checks.examine(settings.load(more), None)
    assert (found.verdict, "BASIC_AUTH_USER" in found.text) == (NOTE, is_open)


def test_label_studio_lives_somewhere_else(studio: Studio) -> None:
    studio.faults["GET", "/api/version"] = [302]
    found = examined(studio)
    assert "redirects to 'https://elsewhere.example/'" in found["label studio"].text
    assert len(found) == 1


def test_without_an_address_or_a_token_it_is_said_what_cannot_be_seen(studio: Studio) -> None:
    (alone,) = checks.examine(settings.load({}), None)
    assert (alone.verdict, alone.topic) == (NOTE, "label studio")
    found = examined(studio, LABEL_STUDIO_API_KEY="")
    assert found["label studio"].verdict is FAILED or found["token"].verdict is NOTE


def test_a_label_config_that_cannot_be_answered_is_named(studio: Studio) -> None:
    studio.label_config = '<View><Image name="image" value="$image"/></View>'
    found = examined(studio)
    assert found["label config"].verdict is FAILED
    assert "image" not in found
    assert found["connection"].verdict is OK


def test_an_image_that_cannot_be_had_is_named(studio: Studio) -> None:
    studio.files.clear()
    found = examined(studio)
    assert (found["image"].verdict, is_explained(found["image"])) == (FAILED, True)


@pytest.mark.parametrize(
    ("changed", "verdict", "remedy"),
    [
        ({"error_message": "HTTPConnectionPool: refused"}, FAILED, "ML_BLOCK_LOCAL_IP"),
        ({"is_interactive": False}, NOTE, "Switch them on"),
    ],
)
def test_a_connection_that_answers_no_clicks_is_named(
    studio: Studio, changed: dict[str, Any], verdict: Verdict, remedy: str
) -> None:
    studio.backends = [CONNECTED | changed]
    found = examined(studio)["connection"]
    assert found.verdict is verdict
    assert remedy in found.remedy


def test_no_connection_is_a_note_that_says_how_to_connect(studio: Studio) -> None:
    studio.backends = []
    found = examined(studio)["connection"]
    assert (found.verdict, "Connect Model" in found.remedy) == (NOTE, True)


def test_it_changes_nothing_in_label_studio(studio: Studio) -> None:
    examined(studio)
    assert {line.split()[0] for line in studio.asked} == {"GET"}


# ------------------------------------------------------------------------------------------------ this machine


def test_the_model_answers_a_click(tmp_path: Path) -> None:
    found = of_machine(SAM_CACHE_DIR=str(tmp_path / "cache"))
    assert [*found] == ["model", "device", "click", "memory", "disk", "redis"]
    assert re.match(r"\d+ ms on an opened image; [\d.]+ s to open one, [\d.]+ s to start\.$", found["click"].text)
    assert "SAM_MODEL" in found["model"].remedy
    assert found["disk"].verdict is not FAILED
    assert [*(tmp_path / "cache").rglob("*")] == [], "the click that was tried is kept nowhere"
    assert all(map(is_explained, found.values()))


def test_what_is_wrong_with_one_thing_keeps_the_others_from_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    found = of_machine(
        SAM_MODEL="vit_x", SAM_CACHE_DIR=str(tmp_path / "file"), SAM_REDIS_URL=f"unix://{tmp_path / 'nobody'}"
    )
    verdicts = {topic: finding.verdict for topic, finding in found.items()}
    assert verdicts == {"model": FAILED, "memory": verdicts["memory"], "disk": FAILED, "redis": FAILED}
    assert all(map(is_explained, found.values()))


def test_too_little_memory_or_disk_is_a_note(tmp_path: Path) -> None:
    found = of_machine(
        SAM_MEMORY_CACHE="900TiB", SAM_CACHE_DIR=str(tmp_path), SAM_DISK_CACHE="900TiB", SAM_MODEL="vit_x"
    )
    assert (found["memory"].verdict, found["disk"].verdict) == (NOTE, NOTE)


# ------------------------------------------------------------------------------------------------ the command


def test_its_exit_code_tells_scripts(studio: Studio, tmp_path: Path) -> None:
    def run(**given: str) -> "subprocess.CompletedProcess[str]":
        line = [*command(), "doctor", "--project", "1"]
        return subprocess.run(line, env=environment(**given), capture_output=True, text=True, timeout=120)

    well = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": LEGACY, "SAM_CACHE_DIR": str(tmp_path)}
    done = run(**well)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^ok     connection   'http://sam:9090' is Connected", done.stdout, re.MULTILINE)
    assert LEGACY not in done.stdout + done.stderr
    studio.files.clear()
    done = run(**well)
    assert done.returncode == 1
    assert re.search(r"^failed image        .*\n +→ ", done.stdout, re.MULTILINE)
    assert run(SAM_NONSENSE="1").returncode == 2
