"""Quantization with NNCF on images of one's own: what it makes is served, and what is too far off is not kept."""

import json
import logging
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import PIL.Image
import pytest
from click.testing import CliRunner, Result

from model_export.builtin.scenes import draw_scene
from model_export.cli import main
from model_export.quantization import agreement, pictures
from model_export.quantization.cli import _report
from model_export.quantization.nncf_encoder import import_nncf
from model_export.quantization.run import Outcome
from model_export.quantization.speed import Speed
from sam_backend.errors import ModelFolderError
from sam_backend.sam.folder import read_info
from sam_backend.sam.types import Image, Prompt
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings

ROOT = Path(__file__).parents[2]
BUILTIN = ROOT / "sam_backend" / "builtin"

# Where nothing can be imported but what requirements.txt and requirements-quantize.txt name.
ALONE = """
import importlib.metadata, re, sys
from packaging.utils import canonicalize_name
allowed = set()
for file in ("requirements.txt", "requirements-quantize.txt"):
    allowed |= {canonicalize_name(name) for name in re.findall(r"^([\\w.-]+)==", open(file).read(), re.MULTILINE)}
for name, packages in importlib.metadata.packages_distributions().items():
    if not {canonicalize_name(package) for package in packages} & {*allowed, "sam-backend"}:
        sys.modules[name] = None
from model_export.cli import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawn scenes in several formats, a broken file, and one that is no image."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(12):
        suffix = ("jpg", "png", "webp", "TIF")[number % 4]
        (folder / str(number % 2)).mkdir(exist_ok=True)
        PIL.Image.fromarray(draw_scene(7000 + number).rgb).save(folder / str(number % 2) / f"{number}.{suffix}")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    (folder / "labels.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The built-in model, quantized by the command, and what that printed."""
    output = tmp_path_factory.mktemp("models") / "builtin-int8"
    arguments = ["quantize", str(BUILTIN), "--images", str(photos), "--output", str(output), "--min-iou", "0.9"]
    command = [sys.executable, "-c", ALONE, *arguments, "--min-p5", "0.5"]
    return output, subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def quantized(run: tuple[Path, subprocess.CompletedProcess[str]]) -> Path:
    assert run[1].returncode == 0, run[1].stderr
    return run[0]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def complaint(result: Result) -> str:
    assert result.exit_code == 1, result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert "Traceback" not in result.stderr
    return line


def segmenter(folder: Path) -> Segmenter:
    return Segmenter(Settings.model_validate({"SAM_MODEL": folder.name, "SAM_MODEL_DIR": folder.parent}))


# ------------------------------------------------------------------------------------------------- what is made


def test_the_agreement_and_the_speed_are_printed_and_recorded(
    run: tuple[Path, subprocess.CompletedProcess[str]], quantized: Path
) -> None:
    output = run[1].stdout
    measures = json.loads((quantized / "model.json").read_text())["quantization"]
    assert f"{measures['mean_iou']:.4f} in the mean, {measures['p5_iou']:.4f} at the 5th percentile" in output
    assert f"{measures['prompts']} prompts, 3 images, kept from calibration" in output
    assert measures["prompts"] >= 40
    assert measures["mean_iou"] >= 0.9
    assert "times as fast" in output
    assert f"SAM_MODEL_DIR={quantized.parent} SAM_MODEL=builtin-int8 sam-backend serve" in output


def test_an_unreadable_image_is_left_out_and_named(run: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    [line] = [line for line in run[1].stderr.splitlines() if "left out" in line]
    assert "broken.png is left out: The image cannot be read" in line


def test_the_service_serves_it_and_tells_it_from_the_original(quantized: Path) -> None:
    scene = draw_scene(7100)
    image = Image(scene.rgb, "digest")
    center = np.array(scene.rgb.shape[1::-1], np.float64)[None] / 2
    before, after = segmenter(BUILTIN), segmenter(quantized)
    [expected] = before.segment(image, Prompt(points=center, point_labels=np.ones(1, np.int64)))
    [found] = after.segment(image, Prompt(points=center, point_labels=np.ones(1, np.int64)))
    both = (expected.bitmap & found.bitmap).sum() / (expected.bitmap | found.bitmap).sum()
    assert both > 0.8
    assert not np.array_equal(expected.low_res_logits, found.low_res_logits)
    assert after.model_version == before.model_version.replace("-f16-", "-int8-")
    assert after.info.export_id != before.info.export_id


def test_halves_are_not_mixed_with_those_of_the_original(quantized: Path, tmp_path: Path) -> None:
    mixed = Path(shutil.copytree(quantized, tmp_path / "mixed"))
    for suffix in ("xml", "bin"):
        shutil.copy(BUILTIN / f"encoder.{suffix}", mixed)
    with pytest.raises(ModelFolderError, match=r"encoder\.xml in .* is of another export"):
        read_info(mixed)


def test_the_decoder_is_the_same(quantized: Path) -> None:
    assert (quantized / "decoder.bin").read_bytes() == (BUILTIN / "decoder.bin").read_bytes()


def types_of_weights(folder: Path, operation: str) -> list[str]:
    """Of each operation of that kind: how its weights are stored, if it has any."""
    nodes = openvino.Core().read_model(folder / "encoder.xml").get_ops()
    return [stored(node.input_value(1)) for node in nodes if node.get_type_name() == operation]


def stored(value: openvino.Output) -> str:
    node = value.get_node()
    while node.inputs():
        node = node.input_value(0).get_node()
    return str(node.get_element_type().get_type_name())


def test_all_convolutions_are_int8_but_the_one_that_reads_the_pixels(quantized: Path) -> None:
    assert sorted(types_of_weights(quantized, "Convolution")) == ["f16"] + 29 * ["i8"]


# ------------------------------------------------------------------------------------- a transformer, and refusals


@pytest.fixture(scope="module")
def refused(exported: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    output = tmp_path_factory.mktemp("refused") / "tiny-int8"
    arguments = ["--images", photos / "0", "--output", output, "--min-iou", "1", "--limit", "2"]
    return call("quantize", exported, *arguments), output


def test_a_model_that_is_too_far_off_is_refused_and_nothing_is_left(refused: tuple[Result, Path]) -> None:
    result, output = refused
    line = complaint(result)
    assert "The quantized model's masks are too far from those in f32: IoU 0." in line
    assert "at the 5th percentile of" in line
    assert "the limits are 1 and 0.75. Nothing was written. Give more images" in line
    assert list(output.parent.iterdir()) == []


def test_attention_keeps_its_floating_point(exported: Path, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "tiny-int8"
    limits = ["--limit", "1", "--min-iou", "0", "--min-p5", "0", "--model-id", "mine"]
    result = call("quantize", exported, "--images", photos / "1", "--output", output, *limits)
    assert result.exit_code == 0, result.output
    assert "too few to keep any from calibration" in result.stdout
    assert json.loads((output / "model.json").read_text())["model_id"] == "mine"
    model = openvino.Core().read_model(output / "encoder.xml")
    for node in model.get_ops():
        if node.get_type_name() == "Softmax":
            [reader] = [target.get_node() for target in node.output(0).get_target_inputs()]
            assert reader.get_type_name() == "MatMul"
    assert types_of_weights(output, "MatMul").count("i8") == 8  # in each of two blocks: qkv, proj, and two of the MLP


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"folder": "nowhere"}, "No model at nowhere: model.json is missing."),
        ({"images": "nowhere"}, "There is no readable image in nowhere."),
        ({"output": "."}, "is no model folder. Choose another --output."),
        ({"output": str(BUILTIN)}, "exists. Choose another --output, or replace it with --force."),
        ({"output": str(BUILTIN), "more": ["--force"]}, "is the folder to quantize. Choose another --output."),
        ({"more": ["--model-id", "../up"]}, "'../up' cannot be a model id."),
    ],
)
def test_mistakes_are_one_line_with_a_remedy(changes: dict[str, object], expected: str, tmp_path: Path) -> None:
    given = {"folder": BUILTIN, "images": "nowhere", "output": tmp_path / "out", "more": []} | changes
    more = given["more"]
    assert isinstance(more, list)
    result = call("quantize", given["folder"], "--images", given["images"], "--output", given["output"], *more)
    assert expected in complaint(result)
    assert not (tmp_path / "out").exists()


def test_what_is_quantized_is_neither_quantized_nor_verified(quantized: Path, photos: Path, tmp_path: Path) -> None:
    again = call("quantize", quantized, "--images", photos, "--output", tmp_path / "again")
    assert "is quantized already. Give the folder that it was made from." in complaint(again)
    assert "is quantized: its masks are not torch's" in complaint(call("verify", quantized))


def test_without_nncf_it_says_what_to_install(photos: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['nncf'] = None; from model_export.cli import main; main(sys.argv[1:])"
    arguments = ["quantize", str(BUILTIN), "--images", str(photos), "--output", str(tmp_path / "out")]
    result = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    remedy = "Run: pip install --no-deps -r requirements.txt -r requirements-quantize.txt"
    assert result.stderr == f"Error: nncf is not installed. {remedy}\n"


# ----------------------------------------------------------------------------------------------------- its parts


def test_judges_are_kept_from_calibration_and_the_draw_is_the_same_each_time(photos: Path) -> None:
    first, second = (pictures.choose(photos, 5, print) for _ in range(2))
    assert first == second
    assert first.apart
    assert (len(first.calibration), len(first.judges)) == (5, 3)
    assert not set(first.calibration) & set(first.judges)


def test_a_model_agrees_with_itself(photos: Path) -> None:
    model = agreement.load(read_info(BUILTIN))
    paths = sorted((photos / "0").iterdir())[:2]
    questions = agreement.ask(model, paths)
    assert sum(map(len, questions)) > 2 * agreement.CLICKS
    found = agreement.compare(model, paths, questions)
    assert (found.mean, found.p5) == (1.0, 1.0)


def test_it_warns_where_int8_is_slower(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = pictures.Pictures([Path("a")], [Path("b")], apart=True)
    outcome = Outcome(chosen, agreement.Agreement(0.97, 0.9, 60), Speed(2.0, 1.0, "f32"))
    _report(outcome)
    assert "1.00 s, 2.00 s before (f32): 2.00 times as fast" in capsys.readouterr().out
    _report(replace(outcome, speed=Speed(1.0, 2.0, "bf16")))
    assert "Warning: on this processor the quantized model is slower." in capsys.readouterr().out


def test_nncf_is_quiet_and_whoever_listens_to_it_keeps_its_level() -> None:
    """So do pytest's own handlers, which every later test reads."""
    logger, listener = logging.getLogger("nncf"), logging.NullHandler(logging.INFO)
    logger.addHandler(listener)
    import_nncf()
    logger.removeHandler(listener)
    assert listener.level == logging.INFO
    assert not logger.isEnabledFor(logging.WARNING)
