"""Warms what the annotator will open next, behind all that was opened. Nothing that goes wrong here reaches him."""

import functools
import itertools
import logging
import threading
from collections.abc import Callable, Sequence

from sam_backend import logs
from sam_backend.errors import SamBackendError
from sam_backend.labelstudio import upcoming
from sam_backend.labelstudio.config import LabelConfig
from sam_backend.labelstudio.networks import Networks
from sam_backend.labelstudio.session import Session
from sam_backend.labelstudio.tasks import image_urls
from sam_backend.labelstudio.upcoming import Opened
from sam_backend.pictures import Picture
from sam_backend.preannotation.backlog import Backlog, Job
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

_MOST_WAITING = 1000
_MOST_REASONS = 100


class NextTasks:
    """Asks Label Studio which tasks come next, in a thread of its own. Threads share it.

    Args:
        warm: takes the images of the next tasks, the likeliest first.
        settings: how many, and how patient.
    """

    def __init__(self, warm: Callable[[Sequence[Picture]], object], settings: Settings) -> None:
        self._warm = warm
        self._count = settings.warm_next if settings.warm_queue else 0
        self._seconds = settings.image_timeout
        self._session = Session(Networks.of(settings))
        self._asks: Backlog[Opened, None] = Backlog("next-tasks", 1, _MOST_WAITING, join_running=True)
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._reasons: set[str] = set()

    def follow(self, opened: Opened, label_config: LabelConfig) -> None:
        """A task was opened: warm those behind it; returns at once."""
        if self._count:
            work = functools.partial(self._ask, label_config)
            self._asks.add([Job(opened, work, (-next(self._numbers), 0))])

    def close(self) -> None:
        """Ask no more."""
        self._asks.close()

    def _ask(self, label_config: LabelConfig, job: Job[Opened, None]) -> None:
        opened = job.key
        try:
            tasks = upcoming.upcoming(self._session, opened, self._count, self._seconds)
        except SamBackendError as error:
            self._tell_once(logs.describe(error))
            return
        self._warm(
            [Picture(url, opened.connection, task["id"]) for task in tasks for url in image_urls(task, label_config)]
        )

    def _tell_once(self, reason: str) -> None:
        with self._lock:
            if reason in self._reasons or len(self._reasons) >= _MOST_REASONS:
                return
            self._reasons.add(reason)
        logger.warning("The next tasks are not warmed: %s This is said once.", reason)
