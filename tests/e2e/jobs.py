"""Bulk jobs as a user runs them, killed as a machine may, and what they leave in a project."""

import io
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import requests
from PIL import Image

from examples.demo.drawing import Bitmap
from examples.demo.label_studio import LabelStudio

ROOT = Path(__file__).resolve().parents[2]
LABEL_CONFIG = """<View>
  <Image name="image" value="$image"/>
  <RectangleLabels name="box" toName="image"><Label value="Thing"/></RectangleLabels>
  <BrushLabels name="brush" toName="image"><Label value="Thing"/></BrushLabels>
</View>"""
SIZE = (120, 160)  # (height, width)
QUICK = ("--points-per-side", "6")  # enough for one ellipse
SECONDS = 600


def ellipse(number: int) -> Bitmap:
    """Where the ellipse of a numbered picture is."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    center, radii = rng.uniform((40, 40), (80, 120)), rng.uniform((16, 22), (28, 36))
    return np.asarray(((y - center[0]) / radii[0]) ** 2 + ((x - center[1]) / radii[1]) ** 2 <= 1)


def picture(number: int) -> bytes:
    """A colored ellipse on gray, as a file; no two numbers are alike."""
    rgb = np.full((*SIZE, 3), 150, np.uint8)
    rgb[ellipse(number)] = np.random.default_rng(number).choice([30, 230], 3) ^ (number % 8)
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "png")
    return file.getvalue()


def project_of_pictures(studio: LabelStudio, title: str, count: int) -> int:
    """A project with so many tasks, one for each picture, in their order; its id."""
    project = studio.create_project(title, LABEL_CONFIG)
    for first in range(0, count, 50):
        names = {f"{number:04d}.png": picture(number) for number in range(first, min(first + 50, count))}
        studio.request(
            "POST", f"/api/projects/{project}/import", files={name: (name, data) for name, data in names.items()}
        )
    return project


def personal_token(studio: LabelStudio) -> str:
    """The user's personal access token, made as they make it on their account's page."""
    with requests.Session() as session:
        session.trust_env = False
        session.get(f"{studio.url}/user/login/", timeout=60)
        form = {"email": studio.login.email, "password": studio.login.password}
        sent = {"csrfmiddlewaretoken": session.cookies["csrftoken"]}
        session.post(f"{studio.url}/user/login/", data=form | sent, timeout=60).raise_for_status()
        headers = {"X-CSRFToken": session.cookies["csrftoken"], "Referer": studio.url}
        answer = session.post(f"{studio.url}/api/token/", json={}, headers=headers, timeout=60)
        answer.raise_for_status()
        return str(answer.json()["token"])


def run(studio: LabelStudio, *arguments: str, token: str = "", **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run `sam-backend ...` to its end."""
    with _started(studio, arguments, token, settings) as process:
        output, errors = process.communicate(timeout=SECONDS)
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


def run_and_kill(studio: LabelStudio, project: int, count: int, *arguments: str, token: str = "") -> None:
    """Run `sam-backend ...` until the project has so many predictions, then kill -9 it."""
    end = time.monotonic() + SECONDS
    with _started(studio, arguments, token, {}) as process:
        while prediction_count(studio, project) < count:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "the job makes no progress"
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL


def prediction_count(studio: LabelStudio, project: int) -> int:
    """How many predictions the project has."""
    return int(studio.request("GET", f"/api/projects/{project}")["total_predictions_number"])


def predictions_per_task(studio: LabelStudio, project: int) -> list[int]:
    """For each task of the project, how many predictions it has."""
    tasks = studio.request("GET", "/api/tasks", params={"project": project, "page_size": 1000, "include": "id"})[
        "tasks"
    ]
    found = Counter(one["task"] for one in studio.request("GET", "/api/predictions", params={"project": project}))
    return [found[task["id"]] for task in tasks]


def labeled(output: str) -> int:
    """How many tasks a run says that it labeled."""
    said = re.search(r"(\d+) labeled", output)
    assert said, output
    return int(said[1])


@contextmanager
def _started(
    studio: LabelStudio, arguments: tuple[str, ...], token: str, settings: dict[str, str]
) -> Iterator["subprocess.Popen[str]"]:
    environment = dict(os.environ)
    executable = environment.pop("BACKEND_BIN", "") or str(ROOT / ".venv" / "bin" / "sam-backend")
    environment |= {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": token or studio.login.token, **settings}
    process = subprocess.Popen(
        [executable, *arguments], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
