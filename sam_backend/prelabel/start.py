"""`sam-backend prelabel`: from the options to a job."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from sam_backend import logs
from sam_backend.errors import JobError
from sam_backend.labelstudio import config
from sam_backend.preannotation.plan import Plan
from sam_backend.prelabel import journal
from sam_backend.prelabel.default_config import default_config
from sam_backend.prelabel.estimate import estimate
from sam_backend.prelabel.images import LOCAL_FILES, Field, Images
from sam_backend.prelabel.local import local_executor
from sam_backend.prelabel.machine import log_level
from sam_backend.prelabel.output import PART_TASKS, FileSink, Place
from sam_backend.prelabel.run import Job, run
from sam_backend.prelabel.tasks_file import TasksFile
from sam_backend.prelabel.types import Executor, Order, Source
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The options that are no settings; the command's help says what they mean."""

    images: str | None = None
    tasks: Path | None = None
    project: int | None = None
    view: int | None = None
    without_predictions: bool = False
    output: Path | None = None
    label_config: Path | None = None
    url_prefix: str = LOCAL_FILES
    document_root: Path | None = None
    part_tasks: int = PART_TASKS
    workers: int = 0
    ray: str | None = None
    limit: int = 0
    dry_run: bool = False
    sample: int = 3
    preview: Path | None = None
    restart: bool = False
    force: bool = False
    pause: float = 0.0


def start(request: Request, settings: Settings) -> int:
    """Do what is asked for.

    Returns:
        The exit code, as `run` has it.

    Raises:
        SamBackendError: the job cannot start, or go on.
    """
    logs.configure(log_level(settings))
    if request.project is not None:
        return _project(request, settings, request.project)
    text = _label_config(request, settings)
    order = Order(settings, text, preview=request.preview, pause=request.pause)
    version = _version(order)
    source, origin = _source(request, text)
    about = {"version": version, "label config": _digest(text.encode()), **origin}
    if request.dry_run:
        done = journal.peek(Place(request.output).journal, about) if request.output else 0
        return _estimate(request, source, done, order, version)
    if request.output is None:
        raise click.UsageError("Where should the tasks go? Give --output FILE.json.")
    return _files(request, order, source, about, Place(request.output, request.part_tasks))


def _files(request: Request, order: Order, source: Source, about: Mapping[str, str], place: Place) -> int:
    place.check(force=request.force)
    sink = FileSink(place, about, partial(_keys, source), restart=request.restart)
    report = place.path.with_name(place.path.name + ".failures.txt")
    return run(Job(source, _executor(request), sink, order, request.limit, report))


def _project(request: Request, settings: Settings, project: int) -> int:
    from sam_backend.prelabel.project import connect

    there = connect(settings, project)
    order = Order(settings, there.label_config, preview=request.preview, pause=request.pause)
    version = _version(order)
    source, sink = there.parts(
        version,
        view=request.view,
        without_predictions=request.without_predictions,
        mode=settings.automatic.mode,
    )
    if request.dry_run:
        with closing(sink):
            return _estimate(request, source, 0, order, version)
    return run(Job(source, _executor(request), sink, order, request.limit))


def _estimate(request: Request, source: Source, done: int, order: Order, version: str) -> int:
    for line in estimate(source, done, order, request.workers or 1, request.sample, version):
        click.echo(line)
    return 0


def _executor(request: Request) -> Executor:
    if request.ray is None:
        return local_executor(request.workers or 1)
    from sam_backend.prelabel.on_ray import ray_executor

    return ray_executor(request.ray, request.workers)


def _source(request: Request, label_config: str) -> tuple[Source, dict[str, str]]:
    """The source, and what runs that continue each other must have in common of it."""
    if request.tasks:
        tasks = TasksFile(request.tasks)
        return tasks, {"tasks file": tasks.digest[:16]}
    field = Field.of(config.parse(label_config, prompted=False))
    what = str(request.images)
    found = Images(what, field, request.url_prefix, request.document_root)
    root = str(request.document_root.absolute()) if request.document_root else ""
    return found, {"--images": str(Path(what).absolute()), "--url-prefix": request.url_prefix, "--document-root": root}


def _label_config(request: Request, settings: Settings) -> str:
    if request.label_config:
        try:
            return request.label_config.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise JobError(f"{request.label_config} cannot be read: {error}.", "Check --label-config.") from None
    if settings.automatic.mode == "boxes":
        raise click.UsageError("--mode boxes needs the --label-config that the boxes belong to.")
    text = default_config(settings.automatic.label)
    click.echo(f"Without --label-config, the tasks are for a project with this one:\n{text}", err=True)
    return text


def _version(order: Order) -> str:
    """The predictions' `model_version`; whatever is wrong with the model or the label config is said here."""
    plan = Plan.of(order.settings, config.parse(order.label_config, prompted=False))
    return plan.version(Segmenter(order.settings).model_version)


def _keys(source: Source) -> Iterator[str]:
    return (item.key for item in source)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
