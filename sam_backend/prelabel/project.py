"""A Label Studio project, and its tasks as a source. Progress lives in the predictions themselves.

A task is done when it has a prediction of the run's version; Label Studio is asked for the others only.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sam_backend.errors import JobError, RefusedError
from sam_backend.prelabel.predictions import Predictions
from sam_backend.prelabel.selection import VERSIONS, Filter, Selection, filters_of
from sam_backend.prelabel.studio import Studio
from sam_backend.prelabel.types import Item
from sam_backend.settings import Settings

_PAGE = 100
_PAGE_WITH_REGIONS = 10
_REGIONS = ("annotations", "predictions", "result", "was_cancelled", "created_at", "updated_at")
"""Fields of annotations have to be named beside those of tasks; predictions come whole."""


def connect(settings: Settings, project_id: int) -> "Project":
    """The project of that id in the Label Studio of the settings.

    Raises:
        JobError: there is none, the SDK is not installed, or a setting is missing.
        LabelStudioError: Label Studio is not there, or the token is wrong.
    """
    studio = Studio(settings)
    try:
        return Project(studio, project_id)
    except BaseException:
        studio.close()
        raise


class Project:
    """A project of a Label Studio.

    Attributes:
        label_config: its label config, XML.

    Raises:
        JobError: there is none of this id.
        LabelStudioError: Label Studio is not there, or the token is wrong.
    """

    def __init__(self, studio: Studio, project_id: int) -> None:
        self._studio = studio
        self._id = project_id
        self._address = f"{studio.url}/projects/{project_id}"
        try:
            self.label_config: str = studio.ask(lambda client: client.projects.get(project_id)).label_config or ""
        except RefusedError as error:
            raise JobError(f"Project {project_id} cannot be had: {error.message}", "Check the id.") from error

    def close(self) -> None:
        """Let go of the connections; a source or sink of it is of no use any more."""
        self._studio.close()

    def parts(
        self, version: str, *, view: int | None = None, without_predictions: bool = False, mode: str = "everything"
    ) -> tuple["Tasks", Predictions]:
        """Its tasks that are to be done, and where their predictions go.

        Args:
            version: the predictions' `model_version`; tasks that have one are done.
            view: the id of a tab of the Data Manager, whose filters count and whose order does not; None: all tasks.
            without_predictions: leave out tasks that have any prediction.
            mode: with `boxes`, tasks come with their rectangles.

        Raises:
            JobError: it has no such view, or its filters cannot be used.
        """
        selection = Selection(version, without_predictions, *self._filters(view))
        tasks = Tasks(self._studio, self._id, selection, with_boxes=mode == "boxes")
        return tasks, Predictions(self._studio, self._address, version)

    def all_tasks(self, view: int | None = None) -> "Tasks":
        """All its tasks, or those of a view, whatever predictions they have.

        Raises:
            JobError: as `parts`.
        """
        return Tasks(self._studio, self._id, Selection("", False, *self._filters(view)), with_boxes=False)

    def _filters(self, view: int | None) -> tuple[tuple[Filter, ...], bool]:
        """A view's filters, and whether one of them is enough."""
        if view is None:
            return (), False
        try:
            found = self._studio.ask(lambda client: client.views.get(str(view)))
        except RefusedError as error:
            raise JobError(f"View {view} cannot be had: {error.message}", "Check the id.") from error
        if found.project != self._id:
            raise JobError(
                f"View {view} belongs to project {found.project}, not to {self._id}.",
                "The number behind ?tab= in the Data Manager's address is the view's id.",
            )
        return filters_of(found.data)


class Tasks:
    """Source: tasks in the order of their ids, a page at a time. What is done already is not among them."""

    def __init__(self, studio: Studio, project_id: int, selection: Selection, *, with_boxes: bool) -> None:
        self._studio = studio
        self._project = project_id
        self._selection = selection
        self._with_boxes = with_boxes

    def __len__(self) -> int:
        total: int = self._page(0, 1).response.total
        return total

    def __iter__(self) -> Iterator[Item]:
        size = _PAGE_WITH_REGIONS if self._with_boxes else _PAGE
        after = 0
        while rows := self._page(after, size).items:
            after = rows[-1].id
            for row in rows:
                if self._selection.wants(row.total_predictions, row.predictions_model_versions):
                    yield Item(str(row.id), self._task(row))

    def _page(self, after: int, size: int) -> Any:
        include = ",".join(("id", "data", "total_predictions", VERSIONS, *(_REGIONS if self._with_boxes else ())))
        return self._studio.ask(
            lambda client: client.tasks.list(
                project=self._project,
                page=1,
                page_size=size,
                query=self._selection.query(after),
                include=include,
                fields="all" if self._with_boxes else "task_only",
                resolve_uri=False,  # addresses as they stand in the task; cloud storage's are signed when fetched
            )
        )

    def _task(self, row: Any) -> dict[str, Any]:
        task = {"id": row.id, "data": row.data}
        if self._with_boxes:
            for key in ("annotations", "predictions"):
                task[key] = [_rectangles(work) for work in getattr(row, key) or []]
        return task


def _rectangles(work: Any) -> dict[str, Any]:
    """An annotation or a prediction without what takes room: of its regions, those that have a rectangle."""
    result = [region for region in _field(work, "result") or [] if isinstance(region, Mapping)]
    boxes = {region.get("id") for region in result if str(region.get("type", "")).startswith("rectangle")}
    kept = {name: _field(work, name) for name in ("id", "was_cancelled", "model_version")}
    when = {name: str(_field(work, name) or "") for name in ("created_at", "updated_at")}
    return {**kept, **when, "result": [dict(region) for region in result if region.get("id") in boxes]}


def _field(work: Any, name: str) -> Any:
    """The SDK has annotations as JSON, and predictions as objects."""
    return work.get(name) if isinstance(work, Mapping) else getattr(work, name, None)
