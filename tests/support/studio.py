"""A server on loopback that plays the part of Label Studio's API that a bulk job uses, as 1.23.2 was recorded.

It can fail as real ones do: lose the answer to a request that it has done, be broken, be busy, know no token.
"""

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt

LEGACY = "0123456789abcdef0123456789abcdef01234567"
LABEL_CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image"><Label value="A"/>'
    '</RectangleLabels><BrushLabels name="brush" toName="image"><Label value="A"/></BrushLabels></View>'
)
SECRET = "a secret of the server alone, long enough for its algorithm"

Prediction = dict[str, Any]
Answer = tuple[int, Any]


@dataclass
class Studio:
    """What it holds, what it has been asked, and how the next requests fail.

    Attributes:
        faults: by method and path prefix, what happens to the next requests: `lost` (done, and no answer), `unheard`
            (not done, and no answer), or a status that is answered in place of doing anything.
        tokens: what `Authorization` it takes.
        files: uploads, by path.
        label_config: the project's.
        backends: the models that are connected to the project.
    """

    url: str = ""
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)
    predictions: list[Prediction] = field(default_factory=list)
    views: dict[int, dict[str, Any]] = field(default_factory=dict)
    faults: dict[tuple[str, str], list[str | int]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=lambda: {f"Token {LEGACY}"})
    files: dict[str, bytes] = field(default_factory=dict)
    label_config: str = LABEL_CONFIG
    backends: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refreshes: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def add_tasks(self, count: int) -> list[int]:
        """Add tasks; their ids."""
        first = max(self.tasks, default=0) + 1
        new = list(range(first, first + count))
        self.tasks |= {number: {"id": number, "data": {"image": f"/data/upload/{number}.png"}} for number in new}
        return new

    def predict(self, task: int, version: str, result: list[Any] | None = None) -> int:
        """Add a prediction; its id."""
        number = max((one["id"] for one in self.predictions), default=0) + 1
        when = "2026-11-21T13:13:24.875320Z"
        about = {"task": task, "project": 1, "model_version": version, "created_at": when, "updated_at": when}
        self.predictions.append({"id": number, "result": result or [], "score": 0.5, **about})
        return number

    def versions(self, task: int) -> list[str]:
        """The model versions of a task's predictions."""
        return [one["model_version"] for one in self.predictions if one["task"] == task]

    def personal_token(self, lifetime: float = 3600.0) -> str:
        """A personal access token."""
        return jwt.encode({"token_type": "refresh", "exp": int(time.time() + lifetime)}, SECRET)

    # ---------------------------------------------------------------------------------------------------- answers

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Answer:  # noqa: PLR0911
        """What Label Studio answers."""
        if path in self.files:
            return 200, self.files[path]
        if method == "GET" and path.rstrip("/") in (about := self.about()):
            return 200, about[path.rstrip("/")]
        kind, _, number = path.removeprefix("/api/").strip("/").rpartition("/")
        match method, kind, number:
            case "GET", "dm/views", number if int(number) in self.views:
                return 200, self.views[int(number)]
            case "GET", "", "tasks":
                every = '{"filters": {"conjunction": "and", "items": []}}'
                return 200, self.page(json.loads(query.get("query", every)), int(query["page_size"]), query)
            case "GET", "", "predictions" if int(query["task"]) in self.tasks:
                return 200, [one for one in self.predictions if one["task"] == int(query["task"])]
            case "POST", "", "predictions" if body["task"] in self.tasks:
                self.predict(body["task"], body["model_version"], body["result"])
                return 201, self.predictions[-1]
            case "DELETE", "predictions", number:
                self.predictions = [one for one in self.predictions if one["id"] != int(number)]
                return 204, None
            case "POST", "token", "refresh":
                return self.refresh(body["refresh"])
            case _, "", "predictions":
                return 400, _error(400, "Validation error", {"task": ['Invalid pk "9" - object does not exist.']})
            case _:
                return 404, _error(404, "No Project matches the given query.")

    def about(self) -> dict[str, Any]:
        """What it says of itself and of the project, by path."""
        return {
            "/api/version": {"release": "1.23.2"},
            "/api/current-user/whoami": {"id": 1, "email": "admin@localhost"},
            "/api/projects": {"count": 1, "results": [{"id": 1}]},
            "/api/projects/1": {"id": 1, "title": "one", "label_config": self.label_config},
            "/api/ml": self.backends,
        }

    def refresh(self, token: str) -> Answer:
        """An access token for a personal one."""
        try:
            jwt.decode(token, SECRET, algorithms=["HS256"])
        except jwt.InvalidTokenError:
            return 401, _error(401, "Token is invalid or expired")
        self.refreshes += 1
        access = jwt.encode({"token_type": "access", "n": self.refreshes, "exp": int(time.time() + 300)}, SECRET)
        self.tokens.add(f"Bearer {access}")
        return 200, {"access": access}

    def page(self, query: Mapping[str, Any], size: int, options: Mapping[str, str]) -> dict[str, Any]:
        """The first page of the tasks of a query of the Data Manager."""
        items = query["filters"]["items"]
        every = all if query["filters"]["conjunction"] == "and" else any
        found = [number for number in sorted(self.tasks) if every(self._holds(number, item) for item in items)]
        rows = [self._row(number, options) for number in found[:size]]
        return {"total_annotations": 0, "total_predictions": 0, "total": len(found), "tasks": rows}

    def _row(self, number: int, options: Mapping[str, str]) -> dict[str, Any]:
        row = {**self.tasks[number], **self._columns(number)}
        names = options["include"].split(",")
        if options["fields"] == "all":
            row["predictions"] = [one for one in self.predictions if one["task"] == number]
            row["annotations"] = [_only(names, one) for one in row.get("annotations", [])]
        return _only(names, row)

    def _columns(self, number: int) -> dict[str, Any]:
        versions = self.versions(number)
        return {
            "predictions_model_versions": ",".join(set(versions))[:500],
            "total_predictions": len(versions),
            "completed_at": self.tasks[number].get("completed_at"),
        }

    def _holds(self, number: int, item: Mapping[str, Any]) -> bool:
        column, wanted = item["filter"].removeprefix("filter:tasks:"), item["value"]
        value: Any = number if column == "id" else self._columns(number)[column]
        holds = {
            "greater": lambda: value > wanted,
            "less": lambda: value < wanted,
            "equal": lambda: value == wanted,
            "contains": lambda: any(one in value for one in wanted),
            "not_contains": lambda: not any(one in value for one in wanted),
            "empty": lambda: (value is None) == wanted,
        }[item["operator"]]()
        return holds and ("child_filter" not in item or self._holds(number, item["child_filter"]))


def _only(names: list[str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}


def _error(status: int, detail: str, errors: Any = None) -> dict[str, Any]:
    return {"status_code": status, "version": "1.23.2", "detail": detail, "exc_info": None, "validation_errors": errors}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # a header and its body go together
    studio: Studio

    def _serve(self) -> None:
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        with self.studio.lock:
            self.studio.asked.append(f"{self.command} {address.path}")
            fault = self._fault(address.path)
            if isinstance(fault, int):
                status, answer = fault, _error(fault, "It is not well.")
            elif "token" not in address.path and self.headers["Authorization"] not in self.studio.tokens:
                status, answer = 401, _error(401, "Invalid token.")
            elif fault != "unheard":
                status, answer = self.studio.answer(self.command, address.path, query, body)
        if fault in {"lost", "unheard"}:
            self.close_connection = True
        else:
            self._send(status, answer)

    def _fault(self, path: str) -> str | int | None:
        for (method, prefix), waiting in self.studio.faults.items():
            if method == self.command and path.startswith(prefix) and waiting:
                return waiting.pop(0)
        return None

    def _send(self, status: int, answer: Any) -> None:
        data = answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After", "17")
        if 300 <= status < 400:
            self.send_header("Location", "https://elsewhere.example/")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815 (the names are http.server's)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (as above)
        """Say nothing."""


@contextlib.contextmanager
def running_studio() -> Iterator[Studio]:
    """Serve while inside."""
    studio = Studio()
    handler = type("Handler", (_Handler,), {"studio": studio})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        studio.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield studio
        finally:
            server.shutdown()
            thread.join()
