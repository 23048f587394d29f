"""A task as the page may have it already: its drafts and annotations with the masks that were answered a moment ago."""

from collections.abc import Mapping, Sequence
from typing import Any

from sam_backend.labelstudio.existing import BRUSH_KINDS

Task = Mapping[str, Any]
Result = Mapping[str, Any]
_PLACES = ("drafts", "annotations", "predictions")


def painted(results: Sequence[Result]) -> list[Result]:
    """Those of a brush."""
    return [result for result in results if result["type"] in BRUSH_KINDS]


def renewed(task: Task, masks: Mapping[str, Result]) -> Task:
    """The task with newer masks for the regions that stand in it.

    Args:
        task: as Label Studio sent it; it is not changed.
        masks: brush results by region id.
    """
    return {**task, **{key: [_renewed(work, masks) for work in _list(task.get(key))] for key in _PLACES}}


def extended(task: Task, masks: Mapping[str, Result]) -> Task:
    """The task with new regions in each draft and annotation that lacks them; in a new draft where there is none.

    Args:
        task: as Label Studio sent it; it is not changed.
        masks: brush results by region id.
    """
    drafts, annotations = _list(task.get("drafts")), _list(task.get("annotations"))
    if not drafts and not annotations:
        return {**task, "drafts": [{"result": list(masks.values())}]}
    return {
        **task,
        "drafts": [_extended(work, masks) for work in drafts],
        "annotations": [_extended(work, masks) for work in annotations],
    }


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _renewed(work: Any, masks: Mapping[str, Result]) -> Any:
    if not isinstance(work, Mapping):
        return work
    return {**work, "result": [_newest(raw, masks) for raw in _list(work.get("result"))]}


def _newest(raw: Any, masks: Mapping[str, Result]) -> Any:
    newer = masks.get(_id(raw))
    if newer is None or raw.get("type") != newer["type"]:
        return raw
    return {**raw, "value": newer["value"]}


def _extended(work: Any, masks: Mapping[str, Result]) -> Any:
    if not isinstance(work, Mapping):
        return work
    standing = _list(work.get("result"))
    there = {_id(raw) for raw in standing}
    return {**work, "result": [*standing, *(mask for name, mask in masks.items() if name not in there)]}


def _id(raw: Any) -> str:
    found = raw.get("id") if isinstance(raw, Mapping) else None
    return found if isinstance(found, str) else ""
