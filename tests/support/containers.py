"""What Dockerfile, .dockerignore and docker-compose.yml say, read so that a test can do it without containers."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.service import ending

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Stage:
    """One stage of the Dockerfile.

    Attributes:
        name: after AS.
        base: what it is FROM.
        instructions: the others of it: (name, what follows).
    """

    name: str
    base: str
    instructions: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        """What follows each instruction of that name."""
        return [rest for found, rest in self.instructions if found == name]

    def words(self, name: str) -> list[str]:
        """The words of its only instruction of that name, in exec form."""
        (rest,) = self.all(name)
        found: list[str] = json.loads(rest)
        return found

    def copies(self) -> list[list[str]]:
        """The words of each COPY, sources first, the target last; options among them."""
        return [rest.split() for rest in self.all("COPY")]

    def environment(self, arguments: Mapping[str, str]) -> dict[str, str]:
        """Its ENV, with build arguments put in."""
        pairs = [pair.partition("=") for rest in self.all("ENV") for pair in rest.split()]
        return {name: substitute(value, arguments) for name, _, value in pairs}

    def healthcheck(self) -> list[str]:
        """The command that says whether a container of it is well."""
        (rest,) = self.all("HEALTHCHECK")
        found: list[str] = json.loads(rest.partition("CMD")[2])
        return found


def substitute(text: str, arguments: Mapping[str, str]) -> str:
    """As a shell does it with `$NAME`, `${NAME}` and `${NAME:-instead}`."""
    run = ["sh", "-c", f'printf %s "{text}"']
    return subprocess.run(run, env=dict(arguments), capture_output=True, text=True, check=True).stdout


def stages() -> dict[str, Stage]:
    """The Dockerfile's, by name."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = [line.split(None, 1) for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for name, rest in lines:
        if name == "FROM":
            base, _, own = rest.partition(" AS ")
            found[own] = (base, [])
        elif found:
            list(found.values())[-1][1].append((name, rest))
    return {name: Stage(name, base, tuple(instructions)) for name, (base, instructions) in found.items()}


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets a file of the repository into a build; the last rule that speaks of it counts."""
    sent = True
    for rule in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        if rule and not rule.startswith("#"):
            pattern = rule.removeprefix("!")
            parts = path.split("/")
            wholes = ["/".join(parts[: length + 1]) for length in range(len(parts))]
            tails = parts if pattern.startswith("**/") else []
            if any(fnmatchcase(one, pattern) for one in wholes) or any(fnmatchcase(one, pattern[3:]) for one in tails):
                sent = rule.startswith("!")
    return sent


def compose_program() -> list[str]:
    """Docker's plugin, or the program that Debian has."""
    plugin = ["docker", "compose"]
    if shutil.which("docker") and subprocess.run([*plugin, "version"], capture_output=True).returncode == 0:
        return plugin
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    pytest.fail("docker-compose is not installed; `make test` installs it, or: apt-get install docker-compose")


def compose(env_file: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run it on the repository's file, with these values and those of a file, and no others."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(env_file.parent)} | settings
    command = [*compose_program(), "--env-file", str(env_file), *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def make_secrets(folder: Path) -> Path:
    """What deploy/secrets.sh writes, in another folder."""
    (folder / "deploy").mkdir(exist_ok=True)
    script = Path(shutil.copy(ROOT / "deploy" / "secrets.sh", folder / "deploy"))
    subprocess.run(["sh", str(script)], cwd=folder, check=True, capture_output=True)
    return folder / ".env"


@dataclass(frozen=True)
class Composition:
    """docker-compose.yml as Docker reads it.

    Attributes:
        services: what stands below `services`, by name.
    """

    services: Mapping[str, Mapping[str, Any]]

    @cached_property
    def runtime(self) -> Stage:
        """The stage that the backend's image is."""
        return list(stages().values())[-1]

    def environment(self, service: str, names: Mapping[str, str]) -> dict[str, str]:
        """What a container of the service finds: its image's, where that is ours, then its own.

        `names` has what stands here for what is there: addresses and folders.
        """
        own = self.services[service]
        image = self.runtime.environment(own["build"]["args"]) if "build" in own else {}
        return {name: replaced(str(value), names) for name, value in (image | own.get("environment", {})).items()}


def replaced(text: str, names: Mapping[str, str]) -> str:
    """The text with each name in it exchanged."""
    for name, instead in names.items():
        text = text.replace(name, instead)
    return text


def words(command: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """A command's words with each name in them exchanged."""
    return [replaced(word, names) for word in command]


def composition(folder: Path, **settings: str) -> Composition:
    """With the secrets that deploy/secrets.sh makes in a folder."""
    found = compose(make_secrets(folder), "config", **settings)
    assert found.returncode == 0, found.stderr
    return Composition(yaml.safe_load(found.stdout)["services"])


def inherited() -> dict[str, str]:
    """What a program needs of a machine, and of ours nothing; there is no home, as in the image."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return kept | {"HOME": "/nonexistent"}


def port_free_on_all_addresses() -> int:
    """A port that was free a moment ago, on 127.0.0.2 as on 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def wait_for(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def redis_is_well(composition: Composition, port: int, **more: str) -> bool:
    """What Docker is told about Redis."""
    service = composition.services["redis"]
    kind, line = service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    own = inherited() | composition.environment("redis", {}) | more
    check = ["sh", "-c", line.replace("redis-cli", f"redis-cli -p {port}")]
    return subprocess.run(check, env=own, capture_output=True).returncode == 0


@contextlib.contextmanager
def running_redis(composition: Composition, folder: Path) -> Iterator[int]:
    """One with the arguments of docker-compose.yml, on a port of loopback."""
    port = port_free_on_all_addresses()
    here = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    words = [*composition.services["redis"]["command"], *here]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(words, env=inherited(), stdout=log, stderr=subprocess.STDOUT)
    with ending(process, 10):
        wait_for(lambda: redis_is_well(composition, port), "Redis")
        yield port
