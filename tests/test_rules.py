"""The rules of the house: what must hold of the code, whoever changes it."""

import ast
import re
import statistics
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICE = sorted((ROOT / "sam_backend").rglob("*.py"))
EXPORT = sorted((ROOT / "model_export").rglob("*.py"))
MODULES = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in SERVICE]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def where(path: Path, node: ast.expr | ast.stmt) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def python(code: str, *arguments: str) -> str:
    """Run `code` in a fresh interpreter; its output."""
    result = subprocess.run(
        [sys.executable, "-B", "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


# ------------------------------------------------------------------------------------------------- who knows whom


def test_the_import_contracts_hold() -> None:
    # In a process of its own: import-linter configures the logging of the one that it runs in.
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    python(code)


def test_every_module_works_where_torch_and_the_export_tool_cannot_be_imported() -> None:
    code = """
import importlib, sys
for name in ("torch", "torchvision", "segment_anything", "model_export"):
    sys.modules[name] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
"""
    python(code, *importable())


def importable() -> list[str]:
    return [name for name in MODULES if not name.endswith("__main__")]


# -------------------------------------------------------------------------------------------------- environment


def environment_reads(path: Path) -> Iterator[str]:
    for node in ast.walk(parse(path)):
        attribute = isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT and not is_of_request(node.value)
        imported = isinstance(node, ast.ImportFrom) and any(alias.name in ENVIRONMENT for alias in node.names)
        if attribute or imported:
            assert isinstance(node, ast.expr | ast.stmt)
            yield where(path, node)


def is_of_request(value: ast.expr) -> bool:
    """WSGI's `request.environ` is the request's, not the process's."""
    return isinstance(value, ast.Name) and value.id == "request"


ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv"}


def test_only_the_settings_read_the_environment() -> None:
    others = [path for path in SERVICE if path.name != "settings.py"]
    assert [place for path in others for place in environment_reads(path)] == []


def test_the_check_for_the_environment_sees_it() -> None:
    assert list(environment_reads(ROOT / "sam_backend/settings.py"))


# ----------------------------------------------------------------------------------------------------- geometry

GEOMETRY = {"around", "ceil", "copyMakeBorder", "fix", "floor", "pad", "resize", "rint", "round", "thumbnail", "trunc"}
SAMPLES = "sam_backend/labelstudio/images.py"  # rounds what a pixel holds, not where it is
PIXELS = ("sam/", "labelstudio/", "preannotation/", "segmenter.py", "backend.py", "pictures.py", "once.py")


def geometry_calls(path: Path) -> Iterator[str]:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
            if name in GEOMETRY:
                yield f"{where(path, node)} {name}"


def test_rounding_scaling_and_padding_live_in_geometry_alone() -> None:
    paths = [path for path in SERVICE if path.relative_to(ROOT / "sam_backend").as_posix().startswith(PIXELS)]
    others = [path for path in paths if path.name != "geometry.py" and path != ROOT / SAMPLES]
    assert [call for path in others for call in geometry_calls(path)] == []


def test_the_check_for_geometry_sees_it() -> None:
    assert list(geometry_calls(ROOT / "sam_backend/sam/geometry.py"))


# -------------------------------------------------------------------------------------------------- import time


def test_the_command_line_and_the_settings_load_nothing_heavy() -> None:
    code = "import sys, sam_backend.cli, sam_backend.settings; print(*sys.modules)"
    heavy = {"cv2", "flask", "gunicorn", "label_studio_ml", "numpy", "openvino", "PIL", "requests", "torch"}
    assert heavy & set(python(code).split()) == set()


IMPORT_AGAIN = """
import importlib, sys, threading
names = sys.argv[1:]
for name in names:
    importlib.import_module(name)
for name in [name for name in sys.modules if name.partition(".")[0] == "sam_backend"]:
    del sys.modules[name]
seen = []
def hook(event, arguments):
    source = event == "open" and str(arguments[0]).endswith((".py", ".pyc"))
    if event.partition(".")[0] in {"open", "socket", "subprocess", "urllib", "shutil", "tempfile"} and not source:
        seen.append((event, *map(str, arguments)))
sys.addaudithook(hook)
for name in names:
    importlib.import_module(name)
print(*seen, *(thread.name for thread in threading.enumerate() if thread is not threading.main_thread()), sep="\\n")
"""


def test_importing_opens_no_file_and_no_socket_and_starts_no_thread() -> None:
    """Our modules are imported twice: the second time other people's are loaded, and what happens is our doing."""
    assert python(IMPORT_AGAIN, *importable()).strip() == ""


# --------------------------------------------------------------------------------------------------------- sizes


def bodies(path: Path) -> Iterator[tuple[str, int]]:
    """Each function, and the lines of its body without the docstring."""
    for node in ast.walk(parse(path)):
        if isinstance(node, Function):
            has_docstring = ast.get_docstring(node) is not None
            body = node.body[1:] if has_docstring else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            yield f"{where(path, node)} {node.name}", lines


@pytest.mark.parametrize("paths", [SERVICE, EXPORT], ids=["sam_backend", "model_export"])
def test_a_module_can_be_held_in_the_head(paths: list[Path]) -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert {name: count for name, count in lines.items() if count > 250} == {}


@pytest.mark.parametrize("paths", [SERVICE, EXPORT], ids=["sam_backend", "model_export"])
def test_functions_are_short(paths: list[Path]) -> None:
    lines = dict(body for path in paths for body in bodies(path))
    assert {name: count for name, count in lines.items() if count > 50} == {}
    assert statistics.quantiles(lines.values(), n=10)[-1] <= 25
    assert statistics.median(lines.values()) <= 8


# --------------------------------------------------------------------------------------------------------- texts


def texts() -> Iterator[tuple[str, str]]:
    """Every text file of the repository but recorded data: its name and contents."""
    tops = [path for path in ROOT.iterdir() if path.name == ".ci" or not path.name.startswith(".")]
    for top in tops:
        for path in [top] if top.is_file() else top.rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in TEXT and not name.startswith(MADE_OR_RECORDED):
                yield name, path.read_text(encoding="utf-8")


TEXT = {".cfg", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml"}
MADE_OR_RECORDED = ("build/", "dist/", "models/", "checkpoints/", "runs/", "tests/data/", "sam_backend.egg-info/")


def test_a_thing_left_to_do_names_its_issue() -> None:
    left = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b(?!.*(#\d+|https?://))")
    assert [f"{name}: {line}" for name, text in texts() for line in text.splitlines() if left.search(line)] == []


def test_no_file_names_a_path_of_this_machine() -> None:
    folders = [str(folder) + "/" for folder in (ROOT, ROOT.parent, Path.home()) if len(folder.parts) > 1]
    places = [folder for folder in folders if folder.startswith(str(Path.home())) or folder.count("/") > 2]
    assert [f"{name}: {place}" for name, text in texts() for place in places if place in text] == []


def test_the_service_prints_nothing() -> None:
    """What it has to say goes through logging, or through click on the command line."""
    calls = [(path, node) for path in SERVICE for node in ast.walk(parse(path)) if isinstance(node, ast.Call)]
    assert [where(path, node) for path, node in calls if getattr(node.func, "id", None) == "print"] == []


# --------------------------------------------------------------------------------------------------------- wheel


def test_the_wheel_holds_the_service_with_its_model_and_nothing_else(tmp_path: Path) -> None:
    # A copy, because setuptools leaves a build folder behind, which could hide a missing file from the next build.
    for name in ("pyproject.toml", "README.md", "LICENSE", "sam_backend", "tests"):
        subprocess.run(["cp", "-r", ROOT / name, tmp_path / name], check=True)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "wheel", "."]
    result = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    with zipfile.ZipFile(next((tmp_path / "wheel").glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    parts = ("encoder", "image", "mask", "prompts", "upscaling")
    model = {"model.json", "encoder.bin", "decoder.bin", *(f"{part}.xml" for part in parts)}
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"sam_backend"}
    assert {"sam_backend/py.typed"} | {f"sam_backend/builtin/{name}" for name in model} <= names
