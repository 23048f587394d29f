"""The bodies of `/setup` and `/predict`, read into values; what is missing or of another kind is named."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sam_backend.errors import BodyError

Object = Mapping[str, Any]
Kind = TypeVar("Kind")

MOST_LEVELS = 100
"""Of lists and objects in one another. The parser takes ten times as many, of which parts could not be sent back."""
LONGEST = 10_000
"""Characters of what is remembered of a project, but for its label config, which has a limit of its own."""

_NODES = {dict, list}
_NAMES: Mapping[type, str] = {dict: "an object", list: "a list", str: "a string"}


@dataclass(frozen=True, slots=True)
class SetupBody:
    """`/setup`: Label Studio introduces a project.

    Attributes:
        project: the project's key, "6.1795179528".
        schema: its label config (XML).
        hostname: Label Studio's address in its own eyes; may be empty.
        access_token: the project creator's token; may be empty.
        extra_params: an object, a string or None, as somebody typed it.
    """

    project: str
    schema: str
    hostname: str
    access_token: str = field(repr=False)
    extra_params: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class PredictBody:
    """`/predict`: Label Studio asks for predictions, or an annotator clicked.

    Attributes:
        project: the project's key.
        tasks: at least one task.
        label_config: the project's label config (XML); may be empty.
        context: None when a task is opened or predictions are retrieved; for a click, its prompts.
    """

    project: str
    tasks: tuple[Object, ...]
    label_config: str
    context: Object | None


def read_setup(body: Object) -> SetupBody:
    """Read `/setup`.

    Raises:
        BodyError: a key is missing or of another kind.
    """
    return SetupBody(
        project=_project(body),
        schema=_required(body, "schema", str),
        hostname=_short(body, "hostname"),
        access_token=_short(body, "access_token"),
        extra_params=body.get("extra_params"),
    )


def read_predict(body: Object) -> PredictBody:
    """Read `/predict`.

    Raises:
        BodyError: a key is missing or of another kind.
    """
    params = _optional(body, "params", dict) or {}
    return PredictBody(
        project=_project(body),
        tasks=_tasks(body),
        label_config=_optional(body, "label_config", str) or "",
        context=_optional(params, "context", dict),
    )


def is_too_deep(document: Any) -> bool:
    """Whether parsed JSON has more than `MOST_LEVELS`."""
    level = [document] if type(document) in _NODES else []
    for _ in range(MOST_LEVELS):
        level = [child for node in level for child in _children(node) if type(child) in _NODES]
    return bool(level)


def _children(node: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node


def _tasks(body: Object) -> tuple[Object, ...]:
    tasks = _required(body, "tasks", list)
    if not tasks:
        raise BodyError('"tasks" is empty.', "Send at least one task.")
    for number, task in enumerate(tasks):
        if not isinstance(task, dict):
            raise BodyError(f'"tasks"[{number}] is not an object.', "Send tasks as Label Studio exports them.")
    return tuple(tasks)


def _project(body: Object) -> str:
    project = body.get("project")
    key = "" if project is None else str(project)
    if len(key) > LONGEST:
        raise BodyError(f'"project" has {len(key)} characters.', "Send the project's key, as Label Studio does.")
    return key


def _short(body: Object, key: str) -> str:
    """A text that is remembered with its project; empty where there is none."""
    text = _optional(body, key, str) or ""
    if len(text) > LONGEST:
        raise BodyError(f'"{key}" has {len(text)} characters.', f"Send one of {LONGEST} at most.")
    return text


def _required(body: Object, key: str, kind: type[Kind]) -> Kind:
    value = _optional(body, key, kind)
    if value is None:
        raise BodyError(f'The body has no "{key}".', f"Send {_NAMES[kind]} named {key}, as Label Studio does.")
    return value


def _optional(body: Object, key: str, kind: type[Kind]) -> Kind | None:
    value = body.get(key)
    if value is not None and not isinstance(value, kind):
        raise BodyError(f'"{key}" is not {_NAMES[kind]}.', f"Send {_NAMES[kind]} or leave {key} out.")
    return value
