"""The command line teaches, exports, verifies, and fails in one line."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from model_export import errors
from model_export.cli import main

ROOT = Path(__file__).parents[2]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", [[], ["export"], ["verify"]], ids=str)
def test_help_teaches_with_examples(command: list[str]) -> None:
    text = call(*command, "--help").output
    assert "\n  Examples:\n    python -m model_export" in text


def test_help_does_not_wait_for_torch() -> None:
    code = """
import sys
sys.modules["torch"] = sys.modules["openvino"] = None
from model_export.cli import main
main(["list"])
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_list_names_the_models_and_their_sizes() -> None:
    lines = call("list").output.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["vit_b", "vit_l", "vit_h", "builtin"]
    assert "375 MB" in lines[0]
    assert "2565 MB" in lines[2]


@pytest.mark.usefixtures("tiny")
def test_export_shows_its_stages_and_its_agreement_with_torch(tmp_path: Path) -> None:
    result = call("export", "tiny", "--model-id", "cells", "--output", tmp_path / "models" / "cells")
    assert result.exit_code == 0, result.output
    assert "[1/7] building the torch model … " in result.stderr
    assert "[7/7] running OpenVINO for comparison … " in result.stderr
    assert "box and points" in result.stdout
    assert f"SAM_MODEL_DIR={tmp_path / 'models'} SAM_MODEL=cells sam-backend serve" in result.stdout


@pytest.mark.usefixtures("tiny")
def test_the_default_output_is_models_and_the_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("export", "tiny", "--random-weights", 1, "--no-verify").exit_code == 0
    assert (tmp_path / "models" / "tiny" / "model.json").is_file()


def test_verify_prints_differences_and_its_exit_code_tells(exported: Path, spoiled: Callable[[str], Path]) -> None:
    good = call("verify", exported)
    assert good.exit_code == 0, good.output
    assert "max |Δ| / range" in good.stdout
    assert "FAILED" not in good.stdout

    bad = call("verify", spoiled("decoder"))
    assert bad.exit_code == 1
    assert "FAILED" in bad.stdout
    assert bad.stderr.splitlines()[-1].startswith("Error: torch and OpenVINO disagree: ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["export", "vit_x"], "There is no model 'vit_x'. Choose one of: vit_b"),
        (["export", "vit_b", "--checkpoint", "nowhere.pth"], "There is no checkpoint nowhere.pth."),
        (["export", "vit_b", "--model-id", "../up"], "'../up' cannot be a model id."),
        (["export", "vit_b", "--random-weights", "0", "--output", str(ROOT)], "is no model folder. Choose another"),
        (["export", "vit_b", "--random-weights", "0", "--checkpoint", "x"], "exclude each other"),
        (["verify", "nowhere"], "nowhere is no model folder: model.json: No such file"),
    ],
)
def test_mistakes_are_one_line_with_a_remedy(arguments: list[str], complaint: str) -> None:
    result = call(*arguments)
    assert result.exit_code != 0
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert complaint in line
    assert "Traceback" not in result.stderr


def test_a_terminated_export_leaves_nothing(tmp_path: Path) -> None:
    """SIGTERM between the halves, to the real process."""
    command = [sys.executable, "-m", "model_export", "export", "builtin", "--random-weights", "0", "--no-verify"]
    with subprocess.Popen(
        [*command, "--output", tmp_path / "builtin"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("[3/5]"):
                assert list(tmp_path.glob(".builtin.*.partial/prompts.xml"))
                process.send_signal(signal.SIGTERM)
        assert process.wait() == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_library_is_named() -> None:
    code = """
import sys
sys.modules["torch"] = None
from model_export.cli import main
main(["export", "vit_b"])
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == "Error: torch is not installed. Run: pip install -r requirements-export.txt\n"


def every(error: type[Exception]) -> list[type[Exception]]:
    return [error, *(leaf for child in error.__subclasses__() for leaf in every(child))]


@pytest.mark.parametrize("error", every(errors.ExportError), ids=lambda error: error.__name__)
def test_every_error_of_the_tree_is_printed_as_one_line(error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise error("Something is wrong.", "Do that.")

    monkeypatch.setattr("model_export.cli.find", fail)
    result = call("export", "vit_b")
    assert result.exit_code == 1
    assert result.stderr == "Error: Something is wrong. Do that.\n"
