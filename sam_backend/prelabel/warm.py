"""`sam-backend warm`: the embeddings of a project's images, computed before anybody opens a task."""

from dataclasses import dataclass

import orjson

from sam_backend import logs
from sam_backend.errors import JobError
from sam_backend.prelabel.local import local_executor
from sam_backend.prelabel.machine import log_level
from sam_backend.prelabel.project import Project, connect
from sam_backend.prelabel.run import Job, run
from sam_backend.prelabel.types import Order, Outcome
from sam_backend.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The command's options; its help says what they mean."""

    project: int
    view: int | None = None
    workers: int = 1
    limit: int = 0


def warm(request: Request, settings: Settings) -> int:
    """Compute the embeddings that are not there.

    Returns:
        The exit code, as `run` has it.

    Raises:
        SamBackendError: the job cannot start, or go on.
    """
    logs.configure(log_level(settings))
    if settings.cache_dir is None:
        raise JobError(
            "There is no folder that keeps embeddings.",
            "Set SAM_CACHE_DIR, for this command as for the service; SAM_DISK_CACHE says how much may go there.",
        )
    there = connect(settings, request.project)
    order = Order(settings, there.label_config, embed_only=True)
    tasks = there.all_tasks(request.view)
    return run(Job(tasks, local_executor(request.workers), _Embeddings(there), order, request.limit))


class _Embeddings:
    """Sink: counts, for the workers have put the embeddings where they belong."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._encoded = 0
        self._stored = 0

    def is_done(self, key: str) -> bool:
        """Never: whether an image's embedding is there is known by its pixels."""
        return False

    def add(self, outcome: Outcome) -> None:
        """Count what was done."""
        counts = orjson.loads(outcome.prediction or b"{}")
        self._encoded += counts.get("encoded", 0)
        self._stored += counts.get("stored", 0)

    def finish(self, *, complete: bool) -> str:
        """Say how many images there were."""
        return f"Images encoded: {self._encoded}; in the cache before: {self._stored}."

    def close(self) -> None:
        """Let go of the connections."""
        self._project.close()
