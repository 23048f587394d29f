"""The command `prelabel`. What it does is in `start`, which is heavy; a wrong option is said before."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sam_backend import settings
from sam_backend.prelabel.options import GENERATOR, generator_options, with_options

_FILE = click.Path(dir_okay=False, path_type=Path)
_DIR = click.Path(file_okay=False, path_type=Path)
_COUNT = click.IntRange(1)


Option = tuple[str, Mapping[str, Any], str]

_SOURCES: tuple[Option, ...] = (
    ("--images", {"metavar": "DIR|GLOB|LIST"}, "A folder, a pattern, or a text file of paths or addresses."),
    ("--tasks", {"type": _FILE}, "Tasks as Label Studio exports or imports them (JSON)."),
    ("--project", {"type": int, "metavar": "ID"}, "A project of LABEL_STUDIO_URL, with LABEL_STUDIO_API_KEY."),
    ("--view", {"type": int, "metavar": "ID"}, "Of the project, the tasks of this view (tab) alone."),
    ("--without-predictions", {"is_flag": True}, "Of the project, the tasks without any prediction alone."),
)
_MASKS: tuple[Option, ...] = (
    (
        "--mode",
        {"type": click.Choice(["everything", "boxes"])},
        "Masks of everything on the image, or one in each box that a task has.  [default: everything]",
    ),
    ("--model", {}, "The model, as SAM_MODEL names it."),
    ("--label", {}, "Label of the masks of everything.  [default: the label config's only one, or none]"),
    ("--label-config", {"type": _FILE}, "The project's label config (XML); else one with a single brush label."),
)
_OUTPUT: tuple[Option, ...] = (
    ("--output", {"type": _FILE}, "Write the tasks here (JSON), for import; large sets in parts."),
    ("--part-tasks", {"type": _COUNT, "metavar": "N"}, "Most tasks of a part.  [default: 1000]"),
    ("--url-prefix", {"metavar": "URL"}, "Stands before a file's path in a task.  [default: /data/local-files/?d=]"),
    ("--document-root", {"type": _DIR}, "What paths in tasks are relative to.  [default: the folder of --images]"),
    ("--restart", {"is_flag": True}, "Forget what an unfinished run has done."),
    ("--force", {"is_flag": True}, "Replace an output that is there."),
)
_RUN: tuple[Option, ...] = (
    ("--workers", {"type": _COUNT, "metavar": "N"}, "Processes that label.  [default: 1; with --ray, all CPUs]"),
    ("--ray", {"metavar": "ADDRESS"}, "Label on a Ray cluster: local, auto, HOST:PORT; --workers is its most actors."),
    ("--limit", {"type": _COUNT, "metavar": "N"}, "Label N more, and leave the rest to another run."),
    ("--dry-run", {"is_flag": True}, "Label a few, keep nothing, and say what all would take."),
    ("--sample", {"type": _COUNT, "metavar": "N"}, "How many with --dry-run.  [default: 3]"),
    ("--preview", {"type": _DIR}, "Write a picture of each image with its masks into this folder."),
    ("--pause", {"type": float, "hidden": True}, "Wait after each image; for tests."),
)


def _options(command: Any) -> Any:
    for name, more, text in reversed([*_SOURCES, *_MASKS, *_OUTPUT, *_RUN]):
        command = click.option(name, help=text, **more)(command)
    return command


@click.command()
@_options
@generator_options
@click.pass_context
def prelabel(context: click.Context, /, mode: str | None, label: str | None, model: str | None, **options: Any) -> None:
    """Label many images before anyone opens them.

    What is made is a JSON file of tasks with predictions, for Label Studio's import, or predictions in a project. The
    same command goes on where it was stopped, however that was; what failed is told at the end, makes the exit code 1,
    and is tried again by the same command.

    \b
    How long will it take, and what will it find?
      sam-backend prelabel --images photos --dry-run --sample 5 --preview seen
    Everything on the images of a folder, by two processes:
      sam-backend prelabel --images photos --output tasks.json --workers 2 --label-config project.xml --label Thing
    A mask in each box of an export, with the box's label:
      LABEL_STUDIO_URL=... LABEL_STUDIO_API_KEY=... \\
      sam-backend prelabel --tasks export.json --output masks.json --mode boxes --label-config project.xml
    The tasks of a project that have no prediction yet:
      sam-backend prelabel --project 3 --without-predictions

    Images of a folder become tasks with addresses such as /data/local-files/?d=cats/1.jpg, relative to the folder: in
    Label Studio, that folder must be LOCAL_FILES_DOCUMENT_ROOT, or that must be named by --document-root.

    The options from --points-per-side on are settings too (SAM_POINTS_PER_SIDE and so on); an option wins.
    """  # noqa: D301 (click reads this escape)
    if sum(options[name] is not None for name in ("images", "tasks", "project")) != 1:
        raise click.UsageError("What should be labeled? Give one of --images, --tasks and --project.")
    if mode == "boxes" and options["images"] is not None:
        raise click.UsageError("--mode boxes needs tasks that have boxes: give --tasks or --project, not --images.")
    chosen = settings.load()
    automatic = {name: options.pop(name) for name in GENERATOR} | {"label": label}
    automatic["mode"] = mode or ("everything" if chosen.automatic.mode == "off" else None)
    chosen = with_options(chosen, automatic, model)
    # What follows is heavy, and a wrong option is said at once.
    from sam_backend.prelabel.start import Request, start

    given = {name: value for name, value in options.items() if value is not None}
    context.exit(start(Request(**given), chosen))
