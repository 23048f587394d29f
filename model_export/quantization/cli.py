"""The command `quantize`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from model_export.quantization.run import Outcome

FOLDER = click.Path(path_type=Path)
SHARE = click.FloatRange(0, 1)


@click.command()
@click.argument("model_folder", type=FOLDER)
@click.option("--images", type=FOLDER, metavar="DIR", required=True, help="Your images; sub-folders count.")
@click.option("--output", type=FOLDER, metavar="DIR", help="Model folder to make.  [default: models/NAME-int8]")
@click.option("--model-id", metavar="ID", help="What the service calls the model.  [default: as before]")
@click.option("--limit", type=click.IntRange(1), default=32, show_default=True, help="Most images to calibrate with.")
@click.option("--min-iou", type=SHARE, default=0.95, show_default=True, help="Least mean IoU with the masks in f32.")
@click.option("--min-p5", type=SHARE, default=0.75, show_default=True, help="Least 5th percentile of these IoUs.")
@click.option("--force", is_flag=True, help="Replace the model folder that stands at the output.")
def quantize(
    *,
    model_folder: Path,
    images: Path,
    output: Path | None,
    model_id: str | None,
    limit: int,
    min_iou: float,
    min_p5: float,
    force: bool,
) -> None:
    """Make the encoder of MODEL_FOLDER faster: int8 where most of the time goes, calibrated on your own images.

    \b
    Examples:
      python -m model_export quantize models/vit_b --images photos/
      python -m model_export quantize models/vit_b --images photos/ --limit 64 --output /srv/models/vit_b-int8
      SAM_MODEL=vit_b-int8 sam-backend serve

    Thirty to fifty images do, of the kind that will be labeled. Up to twelve of them, a quarter at most, are kept from
    calibration: both models are clicked on them at random places and given boxes, and the IoU of their masks is
    printed, the mean and the 5th percentile. Below the limits nothing is written, and the exit code is 1. At the end
    both are timed on this machine: int8 pays on processors with VNNI or AMX.

    It needs: pip install --no-deps -r requirements.txt -r requirements-quantize.txt
    """  # noqa: D301 - click reads the backspace
    from model_export.quantization import run

    target = output or Path("models") / f"{model_folder.resolve().name}-int8"
    order = run.Order(model_folder, images, target, model_id, limit, min_iou, min_p5, force)
    _report(run.quantize(order, lambda line: click.echo(line, err=True)))
    click.echo(f"Wrote {target}. To serve it: SAM_MODEL_DIR={target.parent} SAM_MODEL={target.name} sam-backend serve")


def _report(outcome: "Outcome") -> None:
    agreement, pictures, speed = outcome.agreement, outcome.pictures, outcome.speed
    apart = "kept from calibration" if pictures.apart else "too few to keep any from calibration: this flatters it"
    click.echo(f"{'calibrated with':<24} {len(pictures.calibration)} images")
    click.echo(f"{'judged on':<24} {agreement.prompts} prompts, {len(pictures.judges)} images, {apart}")
    click.echo(f"{'mask IoU with f32':<24} {agreement.mean:.4f} in the mean, {agreement.p5:.4f} at the 5th percentile")
    click.echo(
        f"{'encoding one image':<24} {speed.after:.2f} s, {speed.before:.2f} s before ({speed.precision}): "
        f"{speed.ratio:.2f} times as fast"
    )
    if speed.ratio < 1:
        click.echo("Warning: on this processor the quantized model is slower. int8 pays where there is VNNI or AMX.")
