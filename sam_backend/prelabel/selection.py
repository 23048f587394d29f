"""Which tasks of a project are to be done, as a query of Label Studio's Data Manager.

Pages are not counted, for they shift while predictions are added: each begins behind the last id of the one before. So
no task is lost or met twice, and the server does not load those that are done.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sam_backend.errors import JobError

Filter = Mapping[str, Any]

VERSIONS = "predictions_model_versions"
_NO_VERSION = "\N{EMPTY SET}"


@dataclass(frozen=True, slots=True)
class Selection:
    """Tasks without a prediction of this version.

    Attributes:
        version: the `model_version` that is done; empty: none is.
        without_predictions: leave out tasks that have any prediction.
        filters: those of a view.
        any_of: one of the filters is enough.
    """

    version: str = ""
    without_predictions: bool = False
    filters: Sequence[Filter] = ()
    any_of: bool = False

    def query(self, after: int) -> str:
        """The query for the tasks with an id greater than `after`, in the order of their ids."""
        items = self._any(after) if self.any_of else self._all(after)
        filters = {"conjunction": "or" if self.any_of else "and", "items": items}
        return json.dumps({"filters": filters, "ordering": ["tasks:id"]})

    def wants(self, total_predictions: int | None, versions: str | None) -> bool:
        """Whether a task of an answer to the query is wanted; a query with “or” cannot ask for all of that."""
        if self.version and self.version in [name.strip() for name in (versions or "").split(",")]:
            return False
        return not (self.without_predictions and total_predictions)

    def _all(self, after: int) -> list[Filter]:
        # "contains" is all that there is; that one version's name is part of another's is as good as impossible.
        items = [*self.filters, _behind(after), _versions("not_contains", self.version or _NO_VERSION)]
        if self.without_predictions:
            items.append(
                {"filter": "filter:tasks:total_predictions", "operator": "equal", "type": "Number", "value": 0}
            )
        return items

    def _any(self, after: int) -> list[Filter]:
        """Each of the filters with ours as its child; the last one never holds: it makes the answer tell versions."""
        return [
            *({**item, "child_filter": _behind(after)} for item in self.filters),
            _versions("contains", _NO_VERSION),
        ]


def filters_of(data: Any) -> tuple[tuple[Filter, ...], bool]:
    """A view's filters, and whether one of them is enough.

    Args:
        data: the view's `data`, as the Data Manager keeps it.

    Raises:
        JobError: they cannot be joined with ours.
    """
    filters = (data or {}).get("filters") or {}
    items = tuple(filters.get("items") or ())
    any_of = filters.get("conjunction") == "or" and len(items) > 1
    if any_of and any(item.get("child_filter") for item in items):
        raise JobError("The view joins nested filters with “or”.", "Make a view that joins its filters with “and”.")
    return items, any_of


def _behind(after: int) -> Filter:
    return _filter("id", "greater", "Number", after)


def _versions(operator: str, version: str) -> Filter:
    return _filter(VERSIONS, operator, "List", [version])


def _filter(column: str, operator: str, kind: str, value: Any) -> Filter:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}
