"""What Dockerfile and docker-compose.yml say. What they start is started in `test_compose.py`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import sam_backend
from sam_backend.settings import environment_fields
from tests.support import containers
from tests.support.containers import ROOT, Composition, Stage

STAGES = containers.stages()


# ---------------------------------------------------------------------------------------------------------- the image


def tracked() -> list[str]:
    """The repository's files; in a copy without git, all that are not hidden."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        return listed.stdout.splitlines()
    return [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file() and "/." not in str(path)]


def sources(stage: Stage) -> list[str]:
    """What it copies from the repository."""
    return [word for words in stage.copies() if not words[0].startswith("--") for word in words[:-1]]


def test_what_the_image_copies_is_there_and_is_sent() -> None:
    for source in {source for stage in STAGES.values() for source in sources(stage)} - {"checkpoint[s]"}:
        files = [path for path in tracked() if path == source or path.startswith(f"{source}/")]
        assert files, source
        assert [path for path in files if not containers.is_sent(path)] == []


def test_nothing_is_sent_that_no_stage_copies() -> None:
    copied = tuple(source for stage in STAGES.values() for source in sources(stage))
    sent = [path for path in tracked() if containers.is_sent(path)]
    assert [path for path in sent if not path.startswith(copied)] == []
    assert not any(
        map(containers.is_sent, (".env", ".git/config", "sam_backend/__pycache__/cli.pyc", "models/a/b.bin"))
    )
    assert containers.is_sent("checkpoints/cells.pth")


def origins(name: str) -> set[str]:
    """All stages that one is made of: what it is FROM, and what it copies from."""
    stage = STAGES[name.replace("${MODEL}", "builtin")]
    copied = {word.removeprefix("--from=") for words in stage.copies() for word in words if word.startswith("--from=")}
    before = {one for one in {stage.base, *copied} if one.replace("${MODEL}", "builtin") in STAGES}
    return {name} | {further for one in before for further in origins(one)}


def test_torch_is_in_the_stage_that_exports_and_in_no_other() -> None:
    assert [name for name, stage in STAGES.items() if "requirements-export.txt" in sources(stage)] == ["export"]
    assert STAGES["runtime"].base.startswith("python:")
    assert origins("runtime") == {"runtime", "service", "model", "model-${MODEL}"}
    copied = [words for words in STAGES["runtime"].copies() if "--from=model" in words]
    assert [words[1:] for words in copied] == [["/models", "/models"]]


def test_there_is_a_stage_for_each_model_that_can_be_exported() -> None:
    # Asked of a process of its own: other tests add to the registry.
    question = "from model_export.architectures import REGISTRY; print(*REGISTRY)"
    names = set(subprocess.check_output([sys.executable, "-c", question], cwd=ROOT, text=True).split())
    assert {name.removeprefix("model-") for name in STAGES if name.startswith("model-")} == names
    assert {STAGES[f"model-{name}"].base for name in names - {"builtin"}} == {"export"}


def test_the_image_runs_as_a_user_without_rights_and_asks_whether_it_is_well() -> None:
    runtime = STAGES["runtime"]
    assert list(STAGES)[-1] == "runtime"  # what `docker build .` makes
    (user,) = runtime.all("USER")
    assert int(user) >= 1000
    assert runtime.words("ENTRYPOINT") + runtime.words("CMD") == ["/opt/sam-backend/bin/sam-backend", "serve"]
    assert runtime.all("STOPSIGNAL") == ["SIGTERM"]


@pytest.mark.parametrize(
    ("arguments", "model"),
    [({"MODEL": "builtin"}, "builtin"), ({"MODEL": "vit_b"}, "vit_b"), ({"MODEL": "vit_b", "MODEL_ID": "a"}, "a")],
)
def test_the_image_serves_the_model_that_was_put_there(arguments: dict[str, str], model: str) -> None:
    environment = STAGES["runtime"].environment(arguments)
    assert environment["SAM_MODEL"] == model
    assert set(environment) <= set(environment_fields())


def exporting(arguments: Mapping[str, str]) -> str:
    """What the shell makes of the line that exports."""
    line = STAGES["export"].all("RUN")[-1]
    words = subprocess.run(
        ["sh", "-c", f"printf '%s ' {line}"], env=dict(arguments), capture_output=True, text=True, check=True
    )
    return words.stdout.strip()


def test_the_stage_that_exports_says_what_was_asked_for() -> None:
    program = "/opt/model-export/bin/python -m model_export export"
    plain = f"{program} vit_b --model-id vit_b --output /models/vit_b --cache checkpoints"
    assert exporting({"MODEL": "vit_b"}) == plain
    own = {"MODEL": "vit_b", "MODEL_ID": "cells", "CHECKPOINT": "cells.pth"}
    checkpoint = "--cache checkpoints --checkpoint checkpoints/cells.pth"
    assert exporting(own) == f"{program} vit_b --model-id cells --output /models/cells {checkpoint}"


@pytest.mark.slow
def test_what_is_copied_is_enough_to_export(tmp_path: Path) -> None:
    """The stage's own line, among the stage's own files, with the model whose weights are in the repository."""
    for words in STAGES["export"].copies():
        target = tmp_path / words[-1]
        for source in words[:-1]:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            elif (ROOT / source).is_file():
                target.mkdir(exist_ok=True)
                shutil.copy(ROOT / source, target)
    names = {"/opt/model-export/bin/python": sys.executable, '"/models/': f'"{tmp_path}/models/'}
    line = containers.replaced(STAGES["export"].all("RUN")[-1], names) + " --no-verify"
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "MODEL": "builtin"}
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models" / "builtin" / "model.json").is_file()


# ------------------------------------------------------------------------------------------------------ the composition


@pytest.fixture(scope="module")
def composition(tmp_path_factory: pytest.TempPathFactory) -> Composition:
    return containers.composition(tmp_path_factory.mktemp("compose"), SAM_PRECISION="f32")


def test_without_secrets_it_says_where_they_come_from(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    refused = containers.compose(tmp_path / "empty", "config", "-q")
    assert refused.returncode != 0
    assert "run sh deploy/secrets.sh first" in refused.stderr


def test_secrets_are_made_once_and_are_nobody_elses(tmp_path: Path) -> None:
    file = containers.make_secrets(tmp_path)
    first = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert containers.make_secrets(tmp_path).read_text() == first
    (tmp_path / "other").mkdir()
    other = containers.make_secrets(tmp_path / "other").read_text()
    secrets = [line for line in first.splitlines() if "PASS" in line or "KEY" in line]
    assert len(secrets) == 4
    assert not set(secrets) & set(other.splitlines())
    assert all(len(line.partition("=")[2]) == 40 for line in secrets)


def test_backends_can_be_many(composition: Composition) -> None:
    """A container's name or a port of the host would be one's only."""
    backend = composition.services["backend"]
    assert not {"container_name", "ports", "scale"} & set(backend)


def test_only_this_machine_reaches_a_port_and_only_backends_reach_redis(composition: Composition) -> None:
    published = [port for service in composition.services.values() for port in service.get("ports", [])]
    assert len(published) == 2
    assert all(str(port).startswith("127.0.0.1:") or port["host_ip"] == "127.0.0.1" for port in published)
    shared = {name for name, service in composition.services.items() if "shared" in (service.get("networks") or {})}
    assert shared == {"backend", "redis"}
    assert set(composition.services["redis"]["networks"]) == {"shared"}


def test_what_is_ours_can_do_little_where_it_runs(composition: Composition) -> None:
    for name in ("backend", "balancer", "connect", "redis"):
        service = composition.services[name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert all("no-new-privileges:true" in one["security_opt"] for one in composition.services.values())


def test_a_backend_is_given_longer_to_stop_than_it_takes(composition: Composition) -> None:
    assert composition.services["backend"]["stop_grace_period"] == "45s"
    assert '"graceful_timeout": 30,' in (ROOT / "sam_backend" / "serving" / "process.py").read_text()


def test_the_backend_is_given_known_settings(composition: Composition) -> None:
    assert set(composition.environment("backend", {})) <= set(environment_fields())


def test_the_image_is_named_after_version_and_model(tmp_path: Path) -> None:
    for model in ("builtin", "vit_b"):
        service = containers.composition(tmp_path, MODEL=model).services["backend"]
        assert service["image"] == f"sam-backend:{sam_backend.__version__}-{model}"
        assert service["build"]["args"] == {"MODEL": model}
        assert f"-t sam-backend:{sam_backend.__version__}-{model} " in (ROOT / "Dockerfile").read_text()
