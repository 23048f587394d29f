"""Label Studio on the loopback, and its API: a user, projects, images, the connection to a backend."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests

from examples.demo.servers import LOOPBACK, Server, running

START_SECONDS = 600.0  # the first start fills the database: half a minute, on a machine that has nothing else to do
REQUEST_SECONDS = 120.0

# On one machine without a network: backends and images on the loopback are allowed, nothing is reported anywhere.
ENVIRONMENT = {
    "DJANGO_DB": "sqlite",
    "LABEL_STUDIO_ML_BLOCK_LOCAL_IP": "false",
    "SSRF_PROTECTION_ENABLED": "false",
    "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
    "LATEST_VERSION_CHECK": "false",
    "COLLECT_ANALYTICS": "false",
    "SENTRY_RATE": "0",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_RATE": "0",
    "FRONTEND_SENTRY_DSN": "",
}


class LabelStudioError(RuntimeError):
    """Label Studio refused a request; the message holds its answer."""


@dataclass(frozen=True)
class Login:
    """The one user of a Label Studio, with the token for its API."""

    email: str
    password: str
    token: str


@dataclass(frozen=True)
class Credentials:
    """What a backend asks of Label Studio: its BASIC_AUTH_USER and BASIC_AUTH_PASS."""

    user: str
    password: str


def kept_login(file: Path) -> Login:
    """The login in `file`; a new one with a random password and token is written there first if there is none."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        login = Login("you@example.com", secrets.token_urlsafe(9), secrets.token_hex(20))
        file.touch(mode=0o600)
        file.write_text(json.dumps(asdict(login)))
    return Login(**json.loads(file.read_text()))


@contextlib.contextmanager
def label_studio(data: Path, port: int, login: Login) -> Iterator[tuple["LabelStudio", subprocess.Popen[bytes]]]:
    """A Label Studio that keeps its state in `data` (absolute), listening on the loopback, and its process."""
    data.mkdir(parents=True, exist_ok=True)
    url = f"http://{LOOPBACK}:{port}"
    executable = Path(sys.executable).with_name("label-studio")
    start = (executable, "start", "--no-browser", "--internal-host", LOOPBACK, "--port", str(port))
    server = Server(
        name="Label Studio",
        command=(*start, "--data-dir", data, "--database", data / "label_studio.sqlite3", "--enable-legacy-api-token"),
        environment={
            **os.environ,
            **ENVIRONMENT,
            "LABEL_STUDIO_HOST": url,
            "LABEL_STUDIO_USERNAME": login.email,  # by environment, where other users of the machine can't read them
            "LABEL_STUDIO_PASSWORD": login.password,
            "LABEL_STUDIO_USER_TOKEN": login.token,
        },
        ready_url=f"{url}/health",
        log=data / "label-studio.log",
        start_seconds=START_SECONDS,
    )
    with running(server) as process:
        yield LabelStudio(url, login), process


class LabelStudio:
    """The API of a running Label Studio at `url`, as its user `login`."""

    def __init__(self, url: str, login: Login) -> None:
        self.url = url
        self.login = login
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Token {login.token}"

    def request(self, method: str, path: str, **options: Any) -> Any:
        """The JSON answer to one request; LabelStudioError unless the status is 2xx."""
        answer = self._session.request(method, self.url + path, timeout=REQUEST_SECONDS, **options)
        if not answer.ok:
            raise LabelStudioError(f"{method} {path}: {answer.status_code} {answer.text[:2000]}")
        return answer.json() if answer.content else None

    def find_project(self, title: str) -> int | None:
        """The id of the project with this title, if there is one."""
        projects = self.request("GET", "/api/projects", params={"title": title, "page_size": 100})["results"]
        return next((project["id"] for project in projects if project["title"] == title), None)

    def create_project(self, title: str, label_config: str) -> int:
        """A new project's id."""
        project = self.request("POST", "/api/projects", json={"title": title, "label_config": label_config})
        return int(project["id"])

    def upload(self, project: int, name: str, data: bytes) -> None:
        """Add one image to the project as a task."""
        self.request("POST", f"/api/projects/{project}/import", files={name: (name, data)})

    def tasks(self, project: int) -> list[dict[str, Any]]:
        """The project's tasks in the order of their upload, with annotations and predictions."""
        answer = self.request("GET", "/api/tasks", params={"project": project, "fields": "all", "page_size": 100})
        return sorted(answer["tasks"], key=lambda task: int(task["id"]))

    def connect(
        self, project: int, backend_url: str, extra_params: object = None, credentials: Credentials | None = None
    ) -> None:
        """Make this backend the project's only one, for interactive use; LabelStudioError holds its complaint.

        A backend that is connected already keeps the `extra_params` that it has, and gets new `credentials`.
        """
        body = _authentication(credentials) if credentials else {}
        connected = False
        for backend in self.request("GET", "/api/ml", params={"project": project}):
            if backend["url"].rstrip("/") != backend_url or connected:
                self.request("DELETE", f"/api/ml/{backend['id']}")
                continue
            connected = True
            if body:
                self.request("PATCH", f"/api/ml/{backend['id']}", json=body | {"project": project, "url": backend_url})
        if not connected:
            body |= {"project": project, "url": backend_url, "title": "SAM", "is_interactive": True}
            self.request("POST", "/api/ml", json=body | ({"extra_params": extra_params} if extra_params else {}))


def _authentication(credentials: Credentials) -> dict[str, Any]:
    """The fields of a model connection."""
    return {
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": credentials.user,
        "basic_auth_pass": credentials.password,
    }
