"""What is made once per process and shared by all requests."""

import atexit
import functools
import logging
import math
import threading
from dataclasses import dataclass, field

from sam_backend import logs, metrics, recent, settings
from sam_backend.cache.stores import open_link, open_state
from sam_backend.clicks import Clicks
from sam_backend.errors import ModelError, SamBackendError
from sam_backend.joins import Joins
from sam_backend.labelstudio.streams import Streams
from sam_backend.next_tasks import NextTasks
from sam_backend.pictures import Picture, Pictures
from sam_backend.preannotation.labeler import Labeler
from sam_backend.projects import Projects
from sam_backend.recent import Recent
from sam_backend.sam.turns import Urgency
from sam_backend.sam.types import Image
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings
from sam_backend.warmer import Warmer, step_back

logger = logging.getLogger(__name__)


class Loader:
    """Compiles the model in a thread of its own, so that nothing but a click waits for it."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._failure: SamBackendError | None = None
        self._thread = threading.Thread(target=self._run, name="loader", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def close(self, timeout: float = 25.0) -> None:
        """Wait for a compilation under way: OpenVINO's threads abort a process that ends beneath them."""
        if self._thread.is_alive():
            self._thread.join(timeout)

    @property
    def failure(self) -> SamBackendError | None:
        """Why the model could not be compiled. A click tries again, and None is the answer once one succeeded."""
        return None if self._segmenter.loaded else self._failure

    def _run(self) -> None:
        try:
            self._segmenter.load()
            logger.info("The model %s is ready.", self._segmenter.model_version)
        except SamBackendError as error:
            self._failure = error
            logger.error("The model is not served. %s", logs.describe(error))  # noqa: TRY400 - one line says it
        except Exception:
            self._failure = ModelError("The model could not be loaded.", "The backend's log has the cause.")
            logger.exception("The model is not served.")


@dataclass(frozen=True, slots=True)
class Services:
    """The shared, thread-safe parts.

    Attributes:
        warmer: encodes the images of tasks that were opened.
        later: encodes those of tasks that may be opened next.
        clicks: the threads that answer clicks, `SAM_THREADS` of them.
    """

    settings: Settings
    segmenter: Segmenter
    pictures: Pictures
    loader: Loader
    warmer: Warmer[Picture, Image]
    later: Warmer[Picture, Image]
    next_tasks: NextTasks
    labeler: Labeler
    projects: Projects
    joins: Joins
    recent: Recent
    clicks: Clicks
    streams: Streams = field(default_factory=Streams)

    def close(self) -> None:
        """Stop what runs in the background."""
        self.clicks.close()
        self.next_tasks.close()
        for background in (self.warmer, self.later):
            background.close(0)
        self.labeler.close()
        self.segmenter.turns.close()  # now nobody complains of it
        for background in (self.warmer, self.later):
            background.close()
        self.loader.close()


def build(settings: Settings) -> Services:
    """Make everything; the model is read and checked, not yet compiled.

    Raises:
        StartError: the model folder or the device cannot be used.
    """
    link = open_link(settings)
    segmenter = Segmenter(settings, link)
    metrics.name_model(segmenter.model_version, settings.device, segmenter.precision)
    pictures = Pictures(settings)
    warmer, later = (
        Warmer(pictures.get, functools.partial(segmenter.embed, urgency=urgency), settings.warm_queue, step_back)
        for urgency in (Urgency.OPENED, Urgency.LATER)
    )
    next_tasks = NextTasks(later.add, settings)
    clicks = Clicks(settings.threads, settings.click_queue)
    projects = Projects(open_state(settings, link, "state", settings.redis_seconds))
    places = open_state(settings, link, "places", math.ceil(max(settings.join_seconds, recent.SECONDS)))
    joins, answered = Joins(settings.join_seconds, places), Recent(places)
    labeler = Labeler(segmenter, pictures, settings)
    loader = Loader(segmenter)
    return Services(
        settings, segmenter, pictures, loader, warmer, later, next_tasks, labeler, projects, joins, answered, clicks
    )


_shared: Services | None = None
_sharing = threading.Lock()


def shared() -> Services:
    """The services of this process under a server that makes a backend per request and can hand it nothing.

    Made at the first call, from the environment's settings.

    Raises:
        StartError: a setting, the model folder or the device cannot be used.
    """
    global _shared  # noqa: PLW0603 - label-studio-ml constructs the backend itself
    with _sharing:
        if _shared is None:
            _shared = build(settings.load())
            atexit.register(_shared.close)
        return _shared
