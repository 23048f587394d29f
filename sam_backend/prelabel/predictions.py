"""Sink: predictions in a Label Studio project.

Each post is made between two looks at what the task has:

    look ─ none ─▶ post ─▶ look ─ several ─▶ drop all but the oldest

So a run that was killed between a post and what follows, and a post whose answer was lost, leave one prediction. Two
runs at a time leave one, too; what both have computed was computed twice.
"""

import json
from collections.abc import Mapping
from typing import Any

from sam_backend.errors import RefusedError
from sam_backend.prelabel.studio import Studio
from sam_backend.prelabel.types import Outcome

_NOT_FOUND = 404


class Predictions:
    """The one prediction of each task.

    Args:
        studio: where.
        address: the project's, as a browser has it.
        version: the predictions' `model_version`.
    """

    def __init__(self, studio: Studio, address: str, version: str) -> None:
        self._studio = studio
        self._address = address
        self._version = version
        self._posted = 0
        self._there = 0

    def is_done(self, key: str) -> bool:
        """Never: the source leaves out what is done."""
        return False

    def add(self, outcome: Outcome) -> None:
        """Post a prediction, unless the task has one of this version.

        Raises:
            RefusedError: Label Studio does not take it; the task was deleted, for one.
            LabelStudioError: it takes nothing any more.
        """
        if outcome.prediction is None:
            return
        task, prediction = int(outcome.item.key), json.loads(outcome.prediction)
        try:
            is_new = self._studio.ask(lambda client: self._post(client, task, prediction))
        except RefusedError as error:
            raise RefusedError(error.message, "Was the task deleted?", error.answered) from error
        self._posted += is_new
        self._there += not is_new

    def finish(self, *, complete: bool) -> str:
        """Say where they are."""
        there = f" ({self._there} were there already)" if self._there else ""
        return f"Predictions posted to {self._address}/data: {self._posted}{there}."

    def close(self) -> None:
        """Let go of the connections."""
        self._studio.close()

    def _post(self, client: Any, task: int, prediction: Mapping[str, Any]) -> bool:
        """Make the task have one prediction of the version; False when it had one. May be called again at any time."""
        before = after = self._own(client, task)
        if not before:
            client.predictions.create(
                task=task, result=prediction["result"], score=prediction.get("score"), model_version=self._version
            )
            after = self._own(client, task)
        for twin in after[1:]:
            _delete(client, twin)
        return not before

    def _own(self, client: Any, task: int) -> list[int]:
        """The ids of the task's predictions of the version, the oldest first."""
        return sorted(one.id for one in client.predictions.list(task=task) if one.model_version == self._version)


def _delete(client: Any, prediction: int) -> None:
    """Delete a prediction, unless another run just did."""
    from label_studio_sdk.core.api_error import ApiError

    try:
        client.predictions.delete(prediction)
    except ApiError as error:
        if error.status_code != _NOT_FOUND:
            raise
