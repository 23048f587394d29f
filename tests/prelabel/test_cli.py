"""The options of `prelabel`: what they are called, and what is said of wrong ones."""

from collections.abc import Sequence

import pytest
from click.testing import CliRunner

from sam_backend import settings
from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.cli import cli
from sam_backend.prelabel.options import with_options


def said(*arguments: str, code: int = 2) -> str:
    result = CliRunner().invoke(cli, ["prelabel", *arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_help_has_examples_and_an_option_for_each_setting_of_automatic_mode() -> None:
    text = said("--help", code=0)
    assert "sam-backend prelabel --images photos --output tasks.json" in text
    options = ["--" + name.replace("_", "-") for name in AutomaticSettings.model_fields]
    assert [option for option in options if option not in text] == []
    assert "--guided / --no-guided" in text
    assert "Points of the grid along each side of the image" in text
    assert "`" not in text
    assert "SAM_BOX_NMS_THRESH" not in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Give one of --images, --tasks and --project."),
        (["--images", "x", "--tasks", "y"], "Give one of --images, --tasks and --project."),
        (["--images", "x"], "--points-per-side = '0': Input should be greater than or equal to 1."),
        (["--images", "x"], "--stability-score-thresh = 'high': Input should be a valid number"),
        (["--images", "x"], "--point-grids = '[': Expecting value"),
        (["--images", "x"], "--model = 'a/b': String should match pattern"),
        (["--images", "x", "--min-area", "0.5", "--max-area", "0.1"], "--min-area is more than --max-area."),
        (["--images", "x", "--workers", "0"], "'--workers': 0 is not in the range"),
        (["--images", "x", "--mode", "boxes"], "--mode boxes needs tasks that have boxes"),
        (["--tasks", "x", "--mode", "boxes"], "--mode boxes needs the --label-config"),
    ],
)
def test_a_wrong_option_is_named(arguments: Sequence[str], complaint: str) -> None:
    option, equals, rest = complaint.partition(" = '")
    given = [*arguments, option, rest.partition("'")[0]] if equals else arguments
    assert complaint in said(*given)


def test_an_option_wins_over_the_environment_and_the_environment_over_the_default() -> None:
    there = settings.load({"SAM_POINTS_PER_SIDE": "8", "SAM_MIN_AREA": "0.1", "SAM_GUIDED": "true"})
    options = {"points_per_side": "16", "min_area": None, "guided": False, "mode": "boxes"}
    chosen = with_options(there, options, "vit_b")
    assert (chosen.model, chosen.automatic.mode) == ("vit_b", "boxes")
    assert (chosen.automatic.points_per_side, chosen.automatic.min_area, chosen.automatic.guided) == (16, 0.1, False)
    assert chosen.automatic.pred_iou_thresh == 0.88
