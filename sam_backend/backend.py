"""`SamBackend`: one request of Label Studio, start to end, under our own server and under label-studio-ml's."""

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from sam_backend import logs, services
from sam_backend.errors import TaskError
from sam_backend.interaction import Interaction
from sam_backend.interface import make_plan, parse_config
from sam_backend.joins import Place
from sam_backend.labelstudio import prompts, results
from sam_backend.labelstudio.addresses import Connection
from sam_backend.labelstudio.config import LabelConfig
from sam_backend.labelstudio.tasks import image_url, image_urls
from sam_backend.labelstudio.upcoming import Opened
from sam_backend.pictures import Picture
from sam_backend.preannotation.labeler import Wanted
from sam_backend.preannotation.plan import Plan
from sam_backend.preannotation.spots import read
from sam_backend.projects import Project
from sam_backend.services import Services

logger = logging.getLogger(__name__)

Task = Mapping[str, Any]


@contextlib.contextmanager
def _without_torch() -> Iterator[None]:
    """Make `import torch` fail inside.

    label-studio-ml's first lines import torch where they find it, for its multiprocessing alone: a gigabyte and
    seconds for nothing, in a service that has no use for it. They are content without. Not where torch is here already.
    """
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment] # Python's own way to say: not importable
    try:
        yield
    finally:
        del sys.modules["torch"]


with _without_torch():
    from label_studio_ml.model import LabelStudioMLBase

_IS_LINE_2 = hasattr(LabelStudioMLBase, "set")


class SamBackend(LabelStudioMLBase):
    """Answers `/predict` for one project.

    It is light: what costs time or memory is in `services`, which are the process's. label-studio-ml 1.0.9 makes one
    per `/setup` with `label_config`, `train_output`, `hostname` and `access_token`; 2.x makes one per request with
    `project_id` and `label_config`; our own server makes one per request and gives it the services too.
    """

    def __init__(
        self,
        project_id: str | None = None,
        label_config: str | None = None,
        train_output: Mapping[str, Any] | None = None,
        shared: Services | None = None,
        **options: Any,
    ) -> None:
        self._shared = shared
        self._project_key = project_id or ""
        self._config_text = label_config or ""
        self._project = Project(
            self._config_text,
            options.get("hostname") or "",
            options.get("access_token") or "",
            options.pop("extra_params", None),
        )
        # Our server has parsed the label config, and names what is wrong with it; the bases' parsers break on some.
        base_config = label_config if shared is None else None
        if _IS_LINE_2:
            super().__init__(project_id=project_id, label_config=base_config)
        else:
            super().__init__(label_config=base_config, train_output=train_output, **options)

    def setup(self) -> None:
        """2.x asks here for the model's version, which it answers to `/setup`."""
        version = self.version if self._config_text else self._services.segmenter.model_version
        if self.get("model_version") != version:
            self.set("model_version", version)

    def predict(
        self, tasks: Sequence[Task], context: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Answer Label Studio's `/predict`.

        Args:
            tasks: Label Studio's tasks.
            context: None when a task is opened or predictions are retrieved; `{"result": [...]}`, the prompts, for a
                click.
            **kwargs: `login` and `password` of Label Studio's oldest days; not used.

        Returns:
            One prediction per task, in order. Without a context it has no "result", so that Label Studio saves none,
            and the images' embeddings are made in the background meanwhile; in automatic mode it has one where the
            masks are ready in time, and the others are made in the background. For our own server it is JSON then.

        Raises:
            RequestError: the label config, a task or a prompt cannot be used.
            ImageError: the image could not be had or read.
            ModelError: OpenVINO failed.
        """
        if not context:
            plan = self._plan
            return self._label(tasks, plan) if plan.is_on else self._open(tasks, parse_config(self._config_text))
        if len(tasks) != 1:
            raise TaskError(f"A click came with {len(tasks)} tasks.", "Send one task with a context.")
        with self._services.labeler.click():
            return [self._click(tasks[0], context, parse_config(self._config_text))]

    @property
    def version(self) -> str:
        """The version of the predictions of tasks that are opened or retrieved, which `/setup` answers too.

        Raises:
            RequestError: the label config or a parameter of automatic mode cannot be used.
        """
        return self._plan.version(self._services.segmenter.model_version)

    @property
    def _services(self) -> Services:
        return self._shared or services.shared()

    @property
    def _connection(self) -> Connection:
        settings = self._services.settings
        return Connection(
            settings.label_studio_url,
            settings.label_studio_api_key.get_secret_value(),
            self._project.hostname,
            self._project.access_token,
        )

    @property
    def _plan(self) -> Plan:
        return make_plan(self._services.settings, self._config_text, self._project.extra_params)

    def _label(self, tasks: Sequence[Task], plan: Plan) -> list[dict[str, Any]]:
        """What is ready of automatic mode's predictions; tasks without anything to label are warmed for clicks."""
        settings = self._services.settings
        wanted = [self._wanted(task, plan) for task in tasks]
        idle = [task for task, one in zip(tasks, wanted, strict=True) if one is None]
        self._warm([(task, url) for task in idle for url in image_urls(task, plan.label_config)])
        seconds = settings.open_seconds if len(tasks) == 1 else settings.retrieve_seconds
        unlabeled = {"model_version": plan.version(self._services.segmenter.model_version)}
        bodies = self._services.labeler.label(wanted, seconds)
        return [unlabeled if body is None else self._prediction(body) for body in bodies]

    def _wanted(self, task: Task, plan: Plan) -> Wanted | None:
        """What there is to label in a task."""
        try:
            spots = read(task, plan)
        except TaskError as error:
            logger.warning("Not labeled: %s", logs.describe(error))
            return None
        self._doubt([self._picture(task, spot.url) for spot in spots])
        return Wanted(spots, plan, self._connection, self._picture(task, "").task_id) if spots else None

    def _prediction(self, body: bytes) -> Any:
        """A prediction from its JSON. Our own server sends it as it is.

        1.0.9's server says the same version in each `/setup`, and a prediction of another one would be made again at
        each request; so it has none there, and Label Studio takes that of `/setup`.
        """
        if self._shared:
            return orjson.Fragment(body)
        prediction = orjson.loads(body)
        return prediction if _IS_LINE_2 else {key: prediction[key] for key in ("result", "score")}

    def _open(self, tasks: Sequence[Task], label_config: LabelConfig) -> list[dict[str, Any]]:
        self._warm([(task, url) for task in tasks for url in _urls(task, label_config)])
        if len(tasks) == 1:  # several are not opened, but retrieved
            self._follow(tasks[0], label_config)
        return [{"model_version": self._services.segmenter.model_version} for _ in tasks]

    def _follow(self, task: Task, label_config: LabelConfig) -> None:
        project, number = task.get("project"), task.get("id")
        if type(project) is int and type(number) is int:
            self._services.next_tasks.follow(Opened(self._connection, project, number), label_config)

    def _warm(self, images: Sequence[tuple[Task, str]]) -> None:
        pictures = [self._picture(task, url) for task, url in images]
        self._doubt(pictures)
        self._services.warmer.add(pictures)

    def _doubt(self, pictures: Sequence[Picture]) -> None:
        """The browser loads these now: what they showed before does not count."""
        for picture in pictures:
            self._services.pictures.doubt(picture)

    def _click(self, task: Task, context: Mapping[str, Any], label_config: LabelConfig) -> dict[str, Any]:
        shared = self._services
        version = shared.segmenter.model_version
        request = prompts.parse(context, label_config)
        if request is None:
            return results.prediction([], 0.0, version)
        url = image_url(task, label_config.image_for(request.control.to_name), request.item_index)
        place = Place.of(f"{self._project_key}/{task.get('project')}", task.get("id"), request)
        interaction = Interaction(shared, label_config, task, request, place, self._picture(task, url))
        regions, score = interaction.answer()
        return results.prediction(regions, score, version)

    def _picture(self, task: Task, url: str) -> Picture:
        return Picture(url, self._connection, task.get("id"))


def _urls(task: Task, label_config: LabelConfig) -> list[str]:
    """The task's images; at least one, or TaskError."""
    return image_urls(task, label_config) or [image_url(task, label_config.images[0])]
