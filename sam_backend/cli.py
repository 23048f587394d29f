"""The command line: serve · segment · prelabel · warm · doctor."""

import sys
from pathlib import Path
from typing import Any

import click

from sam_backend import __version__, settings
from sam_backend.doctor.cli import doctor
from sam_backend.errors import SamBackendError, StartError
from sam_backend.prelabel.cli import prelabel
from sam_backend.prelabel.warm_cli import warm


class Numbers(click.ParamType[tuple[float, ...]]):
    """So many numbers with commas between them, such as 120,80."""

    def __init__(self, names: str) -> None:
        self.name = names
        self._count = len(names.split(","))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The numbers, or click's usage error."""
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != self._count:
            self.fail(f"{value!r} is not {self.name} (numbers in pixels, with commas).", param, ctx)
        return numbers


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="sam-backend")
def cli() -> None:
    """Label Studio ML backend: smart clicks and boxes become Segment Anything masks.

    All settings are environment variables; the README lists them.
    """


@cli.command()
def serve() -> None:
    """Serve Label Studio.

    \b
    sam-backend serve                        the built-in model on http://127.0.0.1:9090
    PORT=9091 SAM_MODEL=vit_b sam-backend serve

    Then, in Label Studio: project → Settings → Model → Connect Model, with this address and "Interactive
    preannotations" switched on.
    """  # noqa: D301 (click reads this escape)
    chosen = settings.load()
    # What follows is heavy, and a wrong setting is said at once.
    from sam_backend.serving.server import serve as run

    run(chosen)


@cli.command()
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--point", "points", type=Numbers("X,Y"), multiple=True, help="A pixel of the object. Repeatable.")
@click.option("--negative", "negatives", type=Numbers("X,Y"), multiple=True, help="A pixel beside it. Repeatable.")
@click.option("--box", type=Numbers("X0,Y0,X1,Y1"), help="A box around the object.")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="Write the mask here (black and white PNG)."
)
@click.option("--overlay", type=click.Path(path_type=Path), help="Write the image with the mask and the prompts here.")
def segment(
    image: Path,
    points: tuple[tuple[float, float], ...],
    negatives: tuple[tuple[float, float], ...],
    box: tuple[float, float, float, float] | None,
    output: Path,
    overlay: Path | None,
) -> None:
    """Segment one object of IMAGE without Label Studio, by the same path.

    Coordinates are pixels of the upright image, (0, 0) in the top left corner.

    \b
    sam-backend segment photo.jpg --point 420,310 --output mask.png
    sam-backend segment photo.jpg --box 300,200,560,430 --negative 310,420 --output mask.png --overlay seen.png
    """  # noqa: D301 (click reads this escape)
    from sam_backend.once import segment_file

    if not points and not box:
        raise click.UsageError("Nothing is asked for: give --point X,Y or --box X0,Y0,X1,Y1.")
    click.echo(segment_file(settings.load(), image, (points, negatives, box), output, overlay))


cli.add_command(doctor)
cli.add_command(prelabel)
cli.add_command(warm)


def main() -> None:
    """Run, and turn an error that we know into one line and an exit code: 2 at start, 1 later."""
    try:
        cli()
    except SamBackendError as error:
        click.echo(f"sam-backend: {error}", err=True)
        sys.exit(2 if isinstance(error, StartError) else 1)
