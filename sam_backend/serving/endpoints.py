"""What each endpoint does. Requests come in as values, answers go out as (JSON, status)."""

import functools
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from sam_backend import backend, logs
from sam_backend.errors import BodyError
from sam_backend.interface import checked_plan
from sam_backend.labelstudio.bodies import PredictBody, read_predict, read_setup
from sam_backend.projects import Project
from sam_backend.services import Services

logger = logging.getLogger(__name__)

_ACTION = re.compile(rb'"action"\s*:\s*"([!#-~ ]{1,80})')
_EVENT_BYTES = 4096

Answer = tuple[dict[str, Any], int]
Body = Mapping[str, Any]


class Endpoints:
    """The endpoints of one application.

    Args:
        services: what they share.
        watch: called by a request's thread, it gives a question for others: whether its client has hung up.
    """

    def __init__(self, services: Services, watch: Callable[[], Callable[[], bool]] = lambda: lambda: False) -> None:
        self._services = services
        self._watch = watch

    def health(self) -> Answer:
        """Alive, and with which model. Never waits for it; a model that cannot be compiled is an error."""
        segmenter, settings = self._services.segmenter, self._services.settings
        failure = self._services.loader.failure
        if failure:
            raise failure
        return {
            "status": "UP",
            "model_class": backend.SamBackend.__name__,
            "model_version": segmenter.model_version,
            "model_loaded": segmenter.loaded,
            "device": settings.device,
            "precision": segmenter.precision,
        }, 200

    def ready(self) -> Answer:
        """Whether clicks are answered at once: 503 while the model is compiled; raises when it cannot be.

        A cache that cannot be reached is named; the service goes on without it, and is ready.
        """
        segmenter, failure = self._services.segmenter, self._services.loader.failure
        if failure:
            raise failure
        caches = {name: "reachable" if there else "unreachable" for name, there in segmenter.caches().items()}
        state = {"model_version": segmenter.model_version, "caches": caches}
        return ({"status": "READY"} | state, 200) if segmenter.loaded else ({"status": "LOADING"} | state, 503)

    def setup(self, body: Body) -> Answer:
        """Remember a project, or say what its label config lacks, or which of its extra params is wrong."""
        setup = read_setup(body)
        _about(f"project {setup.project}")
        plan = checked_plan(self._services.settings, setup.schema, setup.extra_params)
        project = Project(setup.schema, setup.hostname, setup.access_token, setup.extra_params)
        self._services.projects.remember(setup.project, project)
        return {"model_version": plan.version(self._services.segmenter.model_version)}, 200

    def predict(self, body: Body) -> Answer:
        """Answer a click, or label the tasks that were opened or selected, or warm their images."""
        request = read_predict(body)
        _about(f"project {request.project} task {_task_ids(request)}")
        project = self._services.projects.get(request.project)
        model = backend.SamBackend(
            project_id=request.project,
            label_config=request.label_config or project.label_config,
            hostname=project.hostname,
            access_token=project.access_token,
            extra_params=project.extra_params,
            shared=self._services,
        )
        predict = functools.partial(model.predict, request.tasks, context=request.context)
        if request.context is None:  # answered at once, however many clicks wait
            return {"results": predict(), "model_version": model.version}, 200
        version = self._services.segmenter.model_version
        return {"results": self._services.clicks.answer(predict, self._watch()), "model_version": version}, 200

    def versions(self) -> Answer:
        """The one version that is served."""
        return {"versions": [self._services.segmenter.model_version]}, 200

    def webhook(self, data: bytes) -> Answer:
        """Take note of the name of an event of Label Studio; nothing is learned from it.

        Anybody may send it, so it is not even parsed: its name is looked for where Label Studio writes it, at the
        beginning.
        """
        found = _ACTION.search(data[:_EVENT_BYTES])
        if found is None:
            raise BodyError('The body does not begin with an "action".', "Send events as Label Studio's webhooks do.")
        _about(f"event {found[1].decode()}")
        return {"status": "ok"}, 201


def _task_ids(request: PredictBody) -> str:
    first = str(request.tasks[0].get("id", "without id"))[:80]
    return first if len(request.tasks) == 1 else f"{first} and {len(request.tasks) - 1} more"


def _about(subject: str) -> None:
    trace = logs.current()
    if trace:
        trace.subject = subject
