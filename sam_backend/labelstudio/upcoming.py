"""The tasks that an annotator is likely to open next, as Label Studio's API lists them.

Asking changes nothing there: `/api/projects/ID/next` would say more, but reserves the task that it names for the
token's user. `review` keeps Label Studio from asking its backends for predictions of what it lists.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson
import requests

from sam_backend.errors import LabelStudioError
from sam_backend.labelstudio.addresses import Connection, credential_for, resolve
from sam_backend.labelstudio.session import Session
from sam_backend.labelstudio.transport import Deadline, read

MOST_BYTES = 4 * 1024**2
HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "sam-backend"}

Task = Mapping[str, Any]


class Opened(NamedTuple):
    """The task that was opened: whose Label Studio, which project, which task."""

    connection: Connection
    project: int
    task: int


def upcoming(session: Session, opened: Opened, count: int, seconds: float) -> list[Task]:
    """The next unlabeled tasks behind the one that was opened, by id, which is the Data Manager's order.

    Args:
        session: sends the request, with the connection's token and nowhere else.
        opened: where the annotator is.
        count: how many.
        seconds: for everything together.

    Returns:
        `{"id": ..., "data": {...}}` of each; empty without a token.

    Raises:
        ImageError, LabelStudioError: they cannot be had.
    """
    url = resolve(f"/api/tasks?{urlencode(_query(opened, count))}", opened.connection)
    if credential_for(url, opened.connection) is None:
        return []
    with session.answer(url, opened.connection, Deadline(seconds), HEADERS) as response:
        if response.status_code != requests.codes.ok:
            raise LabelStudioError(f"Label Studio answered {response.status_code} when asked for the next tasks.")
        return _tasks(read(response, MOST_BYTES))[:count]


def _query(opened: Opened, count: int) -> dict[str, Any]:
    items = [_filter("id", "greater", "Number", opened.task), _filter("completed_at", "empty", "Datetime", True)]
    return {
        "project": opened.project,
        "page": 1,
        "page_size": count,
        "fields": "task_only",
        "include": "id,data",
        "resolve_uri": "false",  # addresses as they stand in the task
        "review": "true",
        "query": json.dumps({"filters": {"conjunction": "and", "items": items}, "ordering": ["tasks:id"]}),
    }


def _filter(column: str, operator: str, kind: str, value: Any) -> dict[str, Any]:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def _tasks(body: bytes) -> list[Task]:
    try:
        tasks = orjson.loads(body)["tasks"]
        return [{"id": task["id"], "data": task["data"]} for task in tasks]
    except (ValueError, KeyError, TypeError) as error:
        raise LabelStudioError("Label Studio's answer is no list of tasks.") from error
