"""The command line: `list`, `export`, `verify`."""

import contextlib
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from model_export.architectures import REGISTRY, Architecture, Download
from model_export.errors import ExportError, UnknownModelError

CACHE = Path.home() / ".cache" / "sam-backend" / "checkpoints"
MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


class _Group(click.Group):
    """Prints the errors of the tree as one line, and lets SIGTERM clean up as Ctrl-C does."""

    def invoke(self, ctx: click.Context) -> object:
        signal.signal(signal.SIGTERM, _interrupted)
        try:
            return super().invoke(ctx)
        except ExportError as error:
            raise click.ClickException(str(error)) from None


def _interrupted(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@click.group(cls=_Group)
def main() -> None:
    """Turn a Segment Anything checkpoint into the model folder that sam-backend serves.

    \b
    Examples:
      python -m model_export list
      python -m model_export export vit_b
      python -m model_export export vit_b --checkpoint cells.pth --model-id cells
      python -m model_export verify models/cells --checkpoint cells.pth

    A model exported to models/ID is served by SAM_MODEL=ID sam-backend serve.
    """


@main.command("list")
def list_models() -> None:
    """Show the models that can be exported."""
    for architecture in REGISTRY.values():
        click.echo(f"{architecture.name:<8} {_size(architecture):>7}  {architecture.description}")


def _size(architecture: Architecture) -> str:
    weights = architecture.weights
    if isinstance(weights, Download):
        return f"{weights.size / 1e6:.0f} MB"
    return f"{weights.stat().st_size / 1e6:.0f} MB" if weights.is_file() else "absent"


@main.command()
@click.argument("model", metavar="MODEL")
@click.option("--checkpoint", type=_FILE, help="Weights of your own instead of the published ones; strictly matched.")
@click.option("--output", type=_FOLDER, help="Model folder to make.  [default: models/ID]")
@click.option("--model-id", metavar="ID", help="What the service calls the model.  [default: MODEL]")
@click.option(
    "--precision",
    type=click.Choice(["f32", "f16"]),
    default="f32",
    show_default=True,
    help="How the weights are stored: f16 halves the folder; the arithmetic is chosen by SAM_PRECISION.",
)
@click.option("--random-weights", type=int, metavar="SEED", help="Draw the weights: for tests and benchmarks only.")
@click.option("--cache", type=_FOLDER, default=CACHE, help=f"Folder of downloaded checkpoints.  [default: {CACHE}]")
@click.option("--force", is_flag=True, help="Replace a model folder that stands at the output.")
@click.option("--verify/--no-verify", default=True, help="Compare with torch before the folder takes its place.")
def export(
    model: str,
    checkpoint: Path | None,
    output: Path | None,
    model_id: str | None,
    precision: str,
    random_weights: int | None,
    cache: Path,
    force: bool,
    verify: bool,
) -> None:
    """Export MODEL (see `list`) to a model folder.

    \b
    Examples:
      python -m model_export export vit_b
      python -m model_export export vit_h --precision f16 --output /srv/models/vit_h
      python -m model_export export vit_b --checkpoint cells.pth --model-id cells
      python -m model_export export vit_b --random-weights 0 --output /tmp/vit_b

    Published checkpoints are downloaded once, resumed where a download broke off, and checked by SHA-256. The folder
    appears only when all went well.
    """
    if random_weights is not None and checkpoint is not None:
        raise click.UsageError("--checkpoint and --random-weights exclude each other.")
    name = model_id or model
    if not MODEL_ID.fullmatch(name):
        raise UnknownModelError(f"{name!r} cannot be a model id.", "Use letters, digits, dots, hyphens, underscores.")
    from model_export.pipeline import Order, export as run  # torch takes seconds to import; --help need not wait
    from model_export.weights import Weights
    order = Order(model, Weights(checkpoint, random_weights, cache), name, output or Path("models") / name, precision, force, verify)
    differences = run(order, _step)
    _report(differences)
    click.echo(f"Wrote {order.output}. Serve it: SAM_MODEL_DIR={order.output.parent} SAM_MODEL={order.output.name} sam-backend serve")


@contextlib.contextmanager
def _step(title: str) -> Iterator[None]:
    click.echo(f"{title} … ", nl=False)
    start = time.monotonic()
    yield
    click.echo(f"{time.monotonic() - start:.1f} s")


def _report(differences) -> None:
    for d in differences:
        click.echo(f"{d.name:<24} {d.delta:.1e} {d.iou:.5f}")
