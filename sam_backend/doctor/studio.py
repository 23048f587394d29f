"""Checks of the way to Label Studio: its address, the token, a project's label config, an image, the connection."""

import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import orjson
import requests

from sam_backend.doctor.finding import Finding, failed, note, ok
from sam_backend.errors import LabelStudioError, SamBackendError
from sam_backend.interface import checked_plan
from sam_backend.labelstudio.addresses import Connection, shown
from sam_backend.labelstudio.config import LabelConfig
from sam_backend.labelstudio.networks import Networks
from sam_backend.labelstudio.session import Session
from sam_backend.labelstudio.tasks import image_urls
from sam_backend.labelstudio.tokens import is_personal
from sam_backend.labelstudio.transport import Deadline, read
from sam_backend.labelstudio.upcoming import HEADERS
from sam_backend.pictures import Picture, Pictures
from sam_backend.settings import Settings

_SECONDS = 10.0
_MOST_BYTES = 8 * 1024**2
_TOKEN = "Set LABEL_STUDIO_API_KEY to a token of somebody who may see the project (Account & Settings)."  # noqa: S105
_CONNECT = (
    "In Label Studio: project → Settings → Model → Connect Model, with this backend's address and Interactive "
    "preannotations on. If it says that the address is reserved: start it with LABEL_STUDIO_ML_BLOCK_LOCAL_IP=false."
)


class Studio:
    """What Label Studio answers to this backend's own credentials."""

    def __init__(self, settings: Settings) -> None:
        self.connection = Connection(settings.label_studio_url, settings.label_studio_api_key.get_secret_value())
        self._session = Session(Networks.of(settings))

    def get(self, path: str, **query: Any) -> Any:
        """The JSON that it answers.

        Raises:
            SamBackendError: it answers otherwise, or not at all.
        """
        url = f"{self.connection.label_studio_url}{path}" + (f"?{urlencode(query)}" if query else "")
        with self._session.answer(url, self.connection, Deadline(_SECONDS), HEADERS) as response:
            if response.is_redirect:
                place = shown(response.headers.get("Location", ""))
                raise LabelStudioError(f"{shown(url)} redirects to {place}.", "Set LABEL_STUDIO_URL to that address.")
            if response.status_code in {requests.codes.unauthorized, requests.codes.forbidden}:
                raise LabelStudioError(f"Label Studio answered {response.status_code} to the token.", _TOKEN)
            if response.status_code != requests.codes.ok:
                raise LabelStudioError(
                    f"{shown(url)} was answered with {response.status_code}.", "Check LABEL_STUDIO_URL and --project."
                )
            try:
                return orjson.loads(read(response, _MOST_BYTES))
            except orjson.JSONDecodeError:
                raise LabelStudioError(
                    f"{shown(url)} was not answered in JSON.", "Check that LABEL_STUDIO_URL is Label Studio's."
                ) from None


def examine(settings: Settings, project: int | None) -> Iterator[Finding]:
    """Label Studio, the token, and a project: the one that is named, or any."""
    if not settings.label_studio_url:
        text = "LABEL_STUDIO_URL is not set: images come from the host that /setup names, with the token that it sends."
        if not Networks.of(settings).knows_setup:
            text += " It has to be public: the port is open, and without BASIC_AUTH_USER anybody can send /setup."
        yield note("label studio", text, "Set it, with LABEL_STUDIO_API_KEY, where that host or token is refused.")
        return
    topic = "label studio"
    try:
        studio = Studio(settings)
        release = studio.get("/api/version").get("release", "of an unknown version")
        yield ok(topic, f"{release} at {settings.label_studio_url}.")
        topic = "token"
        if not studio.connection.api_key:
            yield note(topic, "LABEL_STUDIO_API_KEY is not set: images and tasks cannot be looked at here.", _TOKEN)
            return
        yield _token(studio)
        topic = "project"
        yield from _project(studio, settings, project)
    except SamBackendError as error:
        yield failed(topic, error)


def _token(studio: Studio) -> Finding:
    who = studio.get("/api/current-user/whoami").get("email", "somebody")
    kind = "personal access token" if is_personal(studio.connection.api_key) else "legacy token"
    return ok("token", f"A {kind} of {who}.")


def _project(studio: Studio, settings: Settings, number: int | None) -> Iterator[Finding]:
    if number is None:
        found = studio.get("/api/projects", page_size=1, include="id").get("results", [])
        if not found:
            yield note("project", "This token sees none.", "Make a project, or use another token.")
            return
        number = int(found[0]["id"])
    about = studio.get(f"/api/projects/{number}")
    name = f"{number}, {about.get('title', '')!r}"
    try:
        config = checked_plan(settings, about.get("label_config", ""), None).label_config
    except SamBackendError as error:
        yield failed("label config", error)
    else:
        yield ok("label config", f"Of project {name}: it has what clicks and boxes need.")
        yield _image(studio, settings, number, config)
    yield from _connections(studio.get("/api/ml", project=number))


def _image(studio: Studio, settings: Settings, project: int, config: LabelConfig) -> Finding:
    query = {"page_size": 1, "fields": "task_only", "include": "id,data", "resolve_uri": "false", "review": "true"}
    tasks = studio.get("/api/tasks", project=project, page=1, **query).get("tasks", [])
    addresses = [url for task in tasks for url in image_urls(task, config)]
    if not addresses:
        return note("image", "The project has no task with an image.", "Import some, and ask again.")
    started = time.perf_counter()
    try:
        image = Pictures(settings).get(Picture(addresses[0], studio.connection, tasks[0]["id"]))
    except SamBackendError as error:
        return failed("image", error)
    height, width = image.original_size
    return ok("image", f"That of task {tasks[0]['id']}: {width}×{height} in {time.perf_counter() - started:.1f} s.")


def _connections(found: list[Mapping[str, Any]]) -> Iterator[Finding]:
    if not found:
        yield note("connection", "The project has no model connected.", _CONNECT)
    for one in found:
        text = f"{shown(str(one.get('url', '')))} is {one.get('readable_state', 'in an unknown state')}"
        if one.get("error_message"):
            yield failed("connection", SamBackendError(f"{text}: {str(one['error_message'])[:300]}", _CONNECT))
        elif not one.get("is_interactive"):
            yield note(
                "connection", f"{text}, without interactive preannotations.", "Switch them on: clicks need them."
            )
        else:
            yield ok("connection", f"{text}, with interactive preannotations.")
