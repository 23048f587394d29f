"""What the benchmarks make for themselves and keep in `.bench`: exported models, ONNX files, pictures.

A thing is made anew when the code that makes it has changed.
"""

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import onnx_files, peers
from model_export.builtin.scenes import HELD_OUT_SEED
from model_export.builtin.scenes.scene import draw_scene
from tests.support import scenes

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".bench"
MODELS = WORK / "models"
BUILTIN = ROOT / "sam_backend" / "builtin"
ARCHITECTURE, SEED = "vit_b", 0
CALIBRATION_SCENES, FEW = 24, 2
"""For trained weights, and for random ones, of which only the speed counts."""


class MissingError(Exception):
    """Something that is measured is not there."""


def vit_b() -> Path:
    """The folder of vit_b with seeded random weights."""
    return _kept(MODELS / ARCHITECTURE, _sources("model_export"), _export)


def quantized(folder: Path, name: str) -> Path:
    """The model folder in INT8, calibrated on drawn scenes.

    Raises:
        MissingError: the export tool cannot do that, or refused; its own words.
    """
    mark = _sources("model_export") + _sources("model_export/quantization") + (folder / "model.json").read_text()
    return _kept(MODELS / name, mark, lambda output: _quantize(folder, output))


def onnx() -> tuple[Path, Path]:
    """ONNX files of vit_b's encoder and decoder, from the same torch modules."""
    folder = _kept(WORK / "onnx", _sources("benchmarks/onnx_files.py"), _export_onnx)
    return folder / "encoder.onnx", folder / "decoder.onnx"


def pictures(count: int = CALIBRATION_SCENES) -> Path:
    """A folder of drawn scenes as JPEG files; they are none of those that agreement is measured on."""
    return _kept(WORK / f"pictures-{count}", "1", lambda output: _draw(output, count))


def _kept(path: Path, mark: str, make: Callable[[Path], None]) -> Path:
    stamp = path.with_name(f"{path.name}.stamp")
    digest = hashlib.sha256(mark.encode()).hexdigest()
    if not (path.exists() and stamp.exists() and stamp.read_text() == digest):
        print(f"Making {path.relative_to(ROOT)} ...", file=sys.stderr, flush=True)
        started = time.monotonic()
        stamp.unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
        stamp.write_text(digest)
        print(f"... took {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return path


def _sources(name: str) -> str:
    path = ROOT / name
    files = [path] if path.suffix else sorted(path.glob("*.py"))
    versions = [importlib.metadata.version(package) for package in ("openvino", "torch")]
    return "\n".join([*versions, *(file.read_text() for file in files)])


def _export(output: Path) -> None:
    _tool("export", ARCHITECTURE, "--random-weights", str(SEED), "--no-verify", "--output", str(output), "--force")


def _quantize(folder: Path, output: Path) -> None:
    known = subprocess.run(
        [sys.executable, "-m", "model_export", "quantize", "--help"], cwd=ROOT, capture_output=True, check=False
    )
    if known.returncode:
        raise MissingError("this export tool has no `quantize`")
    # What comes of it is judged here: it shall be kept however far from f32 it is.
    count = CALIBRATION_SCENES if folder == BUILTIN else FEW
    limits = ("--min-iou", "0", "--min-p5", "0", "--limit", str(count))
    _tool("quantize", str(folder), "--images", str(pictures(count)), "--output", str(output), *limits)


def _tool(*arguments: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "model_export", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        words = (ran.stderr.strip() or ran.stdout.strip() or "no word").splitlines()[-1]
        raise MissingError(f"model_export {arguments[0]}: {words}")


def _export_onnx(output: Path) -> None:
    output.mkdir()
    onnx_files.write(output / "encoder.onnx", output / "decoder.onnx", peers.sam(ARCHITECTURE, SEED))


def _draw(output: Path, count: int) -> None:
    output.mkdir()
    for number in range(count):
        scene = draw_scene(HELD_OUT_SEED + 1000 + number)
        (output / f"{number:03}.jpg").write_bytes(scenes.jpeg(scene.rgb))
