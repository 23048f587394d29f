"""The documents say what is so: commands, settings, links, versions, requirements."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import sam_backend
from sam_backend.settings import environment_fields
from tests.support.service import command, environment
from tests.support.settings_table import with_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
SERVICE_SET = [
    Requirement(line.partition("#")[0])
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if line.partition("#")[0].strip()
]


# ------------------------------------------------------------------------------------------------------- commands


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    commands = re.findall(r"(?:`|^|[A-Z]=\S+ )make ([a-z][a-z0-9-]*)", document.read_text("utf-8"), re.MULTILINE)
    assert set(commands) <= make_targets() | {"help"}


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(re.findall(r"^  make (\S+)", listed.stdout, re.MULTILINE)) == make_targets()


def readme_commands(program: str) -> set[str]:
    return set(re.findall(rf"{program} ([a-z]+)", README))


def helps(*command_line: str) -> str:
    result = subprocess.run(
        [*command_line, "--help"], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_answer_to_a_threat_names_tests_that_are_there() -> None:
    rows = [line for line in (ROOT / "SECURITY.md").read_text("utf-8").splitlines() if line.startswith("| ")][1:]
    for row in rows:
        named = re.findall(r"`([\w/]+\.py)`", row.split("|")[3])
        assert named
        assert [name for name in named if not (ROOT / "tests" / name).is_file()] == []


def test_every_subcommand_in_the_readme_has_its_help() -> None:
    named = readme_commands("sam-backend")
    assert named == {"doctor", "prelabel", "segment", "serve", "warm"}
    for subcommand in named:
        assert subcommand in helps(*command(), subcommand)


@pytest.mark.parametrize("subcommand", ["doctor", "prelabel", "segment", "warm"])
def test_every_option_in_the_readme_and_the_guide_is_known(subcommand: str) -> None:
    guide = (ROOT / "docs/automatic.md").read_text("utf-8")
    lines = re.findall(rf"sam-backend {subcommand} ([^#\n]*)", README + guide)
    assert lines
    known = helps(*command(), subcommand)
    assert [option for line in lines for option in re.findall(r"--[a-z-]+", line) if option not in known] == []


def test_every_subcommand_of_the_export_tool_in_the_readme_has_its_help() -> None:
    named = readme_commands("-m model_export")
    assert named == {"export", "list", "quantize", "verify"}
    for subcommand in named:
        assert subcommand in helps(sys.executable, "-m", "model_export", subcommand)
    assert {"--checkpoint", "--model-id", "--precision"} <= set(
        re.findall(r"--[a-z-]+", helps(sys.executable, "-m", "model_export", "export"))
    )
    assert {"--images", "--min-iou", "--min-p5"} <= set(
        re.findall(r"--[a-z0-9-]+", helps(sys.executable, "-m", "model_export", "quantize"))
    )


# ------------------------------------------------------------------------------------------------------- settings


def test_the_readme_lists_the_settings_as_they_are() -> None:
    assert with_table(README) == README, "`make docs` writes the table"


def test_every_setting_that_a_document_names_exists() -> None:
    known = set(environment_fields())
    named = {name for path in DOCUMENTS for name in re.findall(r"\bSAM_[A-Z_]+[A-Z]\b", path.read_text("utf-8"))}
    assert named - known == set()


# ---------------------------------------------------------------------------------------------------------- links


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def links(document: Path) -> Iterator[tuple[str, str]]:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8")):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            yield name, anchor


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(document: Path) -> None:
    for name, anchor in links(document):
        target = document.parent / name if name else document
        assert target.exists(), name
        assert not anchor or anchor in anchors(target.read_text("utf-8")), anchor


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = {name for name, _ in links(folder / "README.md")}
    assert listed == {path.name for path in folder.glob("0*.md")}


# ------------------------------------------------------------------------------------------------------- versions


def test_the_changelog_has_the_current_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[{re.escape(sam_backend.__version__)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)


# --------------------------------------------------------------------------------------------------- requirements

# What a package in the set asks for and does not get, and why.
LEFT_OUT = {
    "attr",  # label-studio-ml means attrs
    "openvino-telemetry",  # reports usage; OpenVINO does without
}

# Names under which packages are imported, where they differ.
IMPORTED_AS = {"cv2": "opencv-python-headless", "PIL": "pillow"}


@pytest.mark.parametrize("file", sorted(ROOT.glob("requirements*.txt")), ids=lambda path: path.name)
def test_every_requirement_is_pinned(file: Path) -> None:
    lines = [line.partition("#")[0].strip() for line in file.read_text().splitlines()]
    loose = [
        line for line in lines if line and not line.startswith("-r ") and not re.match(r"[\w.-]+==[\w.+]+(;|$)", line)
    ]
    assert loose == []


def pins(file: Path) -> set[tuple[str, str]]:
    found = re.findall(r"^([\w.-]+)==([\w.+]+)", file.read_text(), re.MULTILINE)
    return {(canonicalize_name(name), version) for name, version in found}


def test_the_files_of_requirements_agree() -> None:
    """But for the browser's tests, which live with what Label Studio pins."""
    kinds = ("", "-audit", "-bench", "-export", "-project", "-quantize", "-ray", "-test")
    together = set().union(*(pins(ROOT / f"requirements{kind}.txt") for kind in kinds))
    names = [name for name, _ in together]
    assert {name for name in names if names.count(name) > 1} == set()


def service_names() -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in SERVICE_SET}


def test_the_service_needs_no_torch() -> None:
    assert {name for name in service_names() if name.startswith(("torch", "nvidia", "segment-anything"))} == set()


def test_the_set_of_the_service_is_closed() -> None:
    missing = set()
    for requirement in SERVICE_SET:
        if requirement.marker is None:
            for needed in map(Requirement, importlib.metadata.requires(requirement.name) or []):
                if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                    missing.add(canonicalize_name(needed.name))
    assert missing - service_names() == LEFT_OUT


def imports() -> set[str]:
    names = set()
    for path in (ROOT / "sam_backend").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"sam_backend", "_typeshed"}


def test_what_the_service_imports_is_in_its_set_and_in_the_metadata() -> None:
    imported = {canonicalize_name(IMPORTED_AS.get(name, name)) for name in imports()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    optional = {canonicalize_name(Requirement(line).name) for line in extras}
    assert imported - optional <= service_names()
    assert imported - {"label-studio-ml"} == declared | optional


IMPORT_THE_CLIENT = """
import importlib.metadata, sys
from packaging.utils import canonicalize_name
for name, packages in importlib.metadata.packages_distributions().items():
    if not {canonicalize_name(package) for package in packages} & set(sys.argv[1:]):
        sys.modules[name] = None
from label_studio_sdk.base_client import LabelStudioBase
client = LabelStudioBase(base_url="http://127.0.0.1:1/", api_key="none")
client.projects, client.views, client.tasks, client.predictions
"""


def test_what_the_client_of_a_project_imports_is_in_its_set() -> None:
    sdk = {name for name, _ in pins(ROOT / "requirements-project.txt")}
    command_line = [sys.executable, "-c", IMPORT_THE_CLIENT, *sorted(service_names() | sdk)]
    result = subprocess.run(command_line, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_set_of_ray_is_closed() -> None:
    ray = {name for name, _ in pins(ROOT / "requirements-ray.txt")}
    missing = set()
    for name in ray:
        for needed in map(Requirement, importlib.metadata.requires(name) or []):
            if needed.marker is None or needed.marker.evaluate({"extra": "data" if name == "ray" else ""}):
                missing.add(canonicalize_name(needed.name))
    assert missing - service_names() - ray == set()
