"""The command line. torch is imported only by what needs it: it takes seconds."""

import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from model_export.architectures import CACHE, REGISTRY, Architecture, Download, find
from model_export.errors import ExportError
from model_export.folder import checked_model_id
from model_export.progress import Steps
from model_export.quantization.cli import quantize
from sam_backend.errors import SamBackendError

if TYPE_CHECKING:
    from model_export.folder import Precision
    from model_export.verify import Difference

REQUIREMENTS = {"quantize": "--no-deps -r requirements.txt -r requirements-quantize.txt"}
FILE = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path)


class _Group(click.Group):
    """Prints the errors of the tree and a missing library as one line, and lets SIGTERM clean up as Ctrl-C does."""

    def invoke(self, ctx: click.Context) -> Any:
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            return super().invoke(ctx)
        except (ExportError, SamBackendError) as error:
            raise click.ClickException(str(error)) from None
        except ModuleNotFoundError as error:
            needed = REQUIREMENTS.get(ctx.invoked_subcommand or "", "-r requirements-export.txt")
            raise click.ClickException(f"{error.name} is not installed. Run: pip install {needed}") from None
        finally:
            signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
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
      python -m model_export quantize models/vit_b --images photos/

    What was exported to models/ID is served by: SAM_MODEL=ID sam-backend serve
    """  # noqa: D301 - click reads the backspace


main.add_command(quantize)


@main.command("list")
def list_models() -> None:
    """Show the models that can be exported."""
    for architecture in REGISTRY.values():
        click.echo(f"{architecture.name:<8} {_size(architecture):>8}  {architecture.description}")


def _size(architecture: Architecture) -> str:
    weights = architecture.weights
    if isinstance(weights, Download):
        return f"{weights.size / 1e6:.0f} MB"
    return f"{weights.stat().st_size / 1e6:.0f} MB" if weights.is_file() else "missing"


@main.command()
@click.argument("model")
@click.option("--checkpoint", type=FILE, metavar="FILE", help="Your own weights in place of the published ones.")
@click.option("--output", type=FOLDER, metavar="DIR", help="Model folder to make.  [default: models/ID]")
@click.option("--model-id", metavar="ID", help="What the service calls the model.  [default: MODEL]")
@click.option(
    "--precision",
    type=click.Choice(["f32", "f16"]),
    default="f32",
    show_default=True,
    help="How weights are stored; f16 halves the folder. Arithmetic is the service's business: SAM_PRECISION.",
)
@click.option("--random-weights", type=int, metavar="SEED", help="Draw the weights: for tests and benchmarks only.")
@click.option("--cache", type=FOLDER, metavar="DIR", default=CACHE, help=f"Downloaded checkpoints.  [default: {CACHE}]")
@click.option("--force", is_flag=True, help="Replace the model folder that stands at the output.")
@click.option("--verify/--no-verify", "compare", default=True, help="Compare with torch before the folder is kept.")
def export(
    *,
    model: str,
    checkpoint: Path | None,
    output: Path | None,
    model_id: str | None,
    precision: "Precision",
    random_weights: int | None,
    cache: Path,
    force: bool,
    compare: bool,
) -> None:
    """Export MODEL (see `list`) to a model folder.

    \b
    Examples:
      python -m model_export export vit_b
      python -m model_export export vit_h --precision f16 --output /srv/models/vit_h
      python -m model_export export vit_b --checkpoint cells.pth --model-id cells
      python -m model_export export vit_b --random-weights 0 --output /tmp/vit_b

    A published checkpoint is downloaded once, goes on where a download broke off, and is checked by its SHA-256. The
    folder appears only when all went well.
    """  # noqa: D301 - click reads the backspace
    find(model)
    name = checked_model_id(model_id or model)
    if random_weights is not None and checkpoint is not None:
        raise click.UsageError("--checkpoint and --random-weights exclude each other.")

    from model_export import pipeline
    from model_export.weights import Weights

    weights = Weights(checkpoint, random_weights, cache)
    folder = output or Path("models") / name
    order = pipeline.Order(model, weights, name, folder, precision, force, compare)
    steps = Steps(pipeline.EXPORT_STEPS + compare * pipeline.COMPARE_STEPS)
    _report(pipeline.export(order, steps), precision)
    click.echo(f"Wrote {folder}. To serve it: {_serve_command(folder)}")


def _serve_command(folder: Path) -> str:
    return f"SAM_MODEL_DIR={folder.parent} SAM_MODEL={folder.name} sam-backend serve"


@main.command()
@click.argument("folder", type=FOLDER)
@click.option("--checkpoint", type=FILE, metavar="FILE", help="The checkpoint it was exported from, if your own.")
@click.option("--cache", type=FOLDER, metavar="DIR", default=CACHE, help=f"Downloaded checkpoints.  [default: {CACHE}]")
def verify(*, folder: Path, checkpoint: Path | None, cache: Path) -> None:
    """Compare the model in FOLDER with torch, on one picture and prompts of every kind.

    \b
    Examples:
      python -m model_export verify models/vit_b
      python -m model_export verify models/cells --checkpoint cells.pth

    Prints, for each kind of prompt, the largest difference of the logits relative to their range, and the smallest IoU
    of the masks. The exit code is 1 when one passes its limit.
    """  # noqa: D301 - click reads the backspace
    from model_export import pipeline
    from model_export.folder import read_description
    from model_export.verify import check
    from model_export.weights import Weights

    precision = read_description(folder).precision
    differences = pipeline.verify_folder(folder, Weights(checkpoint, cache=cache), Steps(pipeline.VERIFY_STEPS))
    _report(differences, precision)
    check(differences, precision)


def _report(differences: "list[Difference]", precision: "Precision") -> None:
    if not differences:
        return
    from model_export.verify import LIMITS

    limits = LIMITS[precision]
    click.echo(f"{'prompts':<24} {'max |Δ| / range':>16} {'mask IoU':>10}")
    for difference in differences:
        verdict = "" if difference.within(limits) else "  FAILED"
        click.echo(f"{difference.name:<24} {difference.delta:>16.1e} {difference.iou:>10.5f}{verdict}")
    click.echo(f"{'limits, ' + precision:<24} {limits.delta:>16.1e} {limits.iou:>10.5f}")
