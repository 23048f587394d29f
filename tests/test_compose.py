"""`docker compose up --scale backend=3` without containers: the same commands, environment and configuration.

Names of hosts are addresses of loopback here, ports are free ones, the containers' folders are temporary ones, and the
image's programs are this environment's. Label Studio is an image host; the browser's tests have a real one.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support import containers, recordings, scenes
from tests.support.balancer import discovering
from tests.support.containers import (
    Composition,
    Stage,
    inherited,
    port_free_on_all_addresses,
    redis_is_well,
    running_redis,
    wait_for,
)
from tests.support.image_host import ImageHost, image_host
from tests.support.name_server import NameServer, name_server
from tests.support.service import command, ending
from tests.support.stand_in import answering

RUNTIME: Stage = containers.stages()["runtime"]
IMAGES = 6
SIZE = (240, 320)
ELLIPSE = {"one": (50.0, 50.0, 15.0, 20.0)}


@dataclass
class Replica:
    """A backend, as one container of the service runs it."""

    address: str
    port: int
    environment: dict[str, str]
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    def is_well(self) -> bool:
        """What Docker is told about it."""
        names = {"/opt/sam-backend/bin/python": sys.executable, "127.0.0.1": self.address}
        check = containers.words(RUNTIME.healthcheck(), names)
        return subprocess.run(check, env=self.environment, capture_output=True).returncode == 0

    def metric(self, name: str) -> float:
        lines = requests.get(f"{self.url}/metrics", timeout=10).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


@dataclass
class Fleet:
    """All that docker-compose.yml starts, but Label Studio, whose images `host` has."""

    composition: Composition
    folder: Path
    host: ImageHost
    names: NameServer
    redis: int
    port: int
    stack: contextlib.ExitStack
    url: str = ""
    replicas: list[Replica] = field(default_factory=list)

    def start_replica(self) -> Replica:
        """One more, which Docker's name server knows from its start on."""
        address = f"127.0.0.{len(self.replicas) + 2}"
        known = {
            "http://label-studio:8080": self.host.url,
            "redis:6379": f"127.0.0.1:{self.redis}",
            "/cache": str(self.folder / "cache"),
            "/models": str(self.folder / "models"),
            "0.0.0.0": address,
        }
        own = self.composition.environment("backend", known) | {"PORT": str(self.port)}
        environment = inherited() | own
        log = self.stack.enter_context((self.folder / f"backend-{address}.log").open("wb"))
        words = [*command(), *RUNTIME.words("CMD")]
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=subprocess.STDOUT)
        self.stack.enter_context(ending(process, 40))
        replica = Replica(address, self.port, environment, process)
        self.replicas.append(replica)
        self.names.addresses["backend"].append(address)
        return replica

    def images(self) -> list[str]:
        return [
            self.host.put(
                f"/data/upload/1/{seed}.png",
                scenes.png(scenes.draw(SIZE[1], SIZE[0], ELLIPSE, seed).rgb),
                token=self.composition.environment("backend", {})["LABEL_STUDIO_API_KEY"],
            )
            for seed in range(IMAGES)
        ]

    def click(self, path: str, **more: Any) -> list[int]:
        """The mask of the one object, as its RLE."""
        body = recordings.ask(path, SIZE, recordings.keypoint(50.0, 50.0)) | more
        own = self.composition.environment("connect", {})
        credentials = (own["BASIC_AUTH_USER"], own["BASIC_AUTH_PASS"])
        answer = requests.post(f"{self.url}/predict", json=body, auth=credentials, timeout=60)
        [region] = recordings.answered(answer)
        found: list[int] = region["value"]["rle"]
        return found


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """`docker compose up --scale backend=3`."""
    folder = tmp_path_factory.mktemp("fleet")
    composition = containers.composition(folder, SAM_PRECISION="f32")
    (folder / "models").mkdir()
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(running_redis(composition, folder))
        host, names = stack.enter_context(image_host()), stack.enter_context(name_server())
        names.addresses["backend"] = []
        port = port_free_on_all_addresses()
        fleet = Fleet(composition, folder, host, names, redis, port, stack)
        for _ in range(3):
            fleet.start_replica()
        for replica in fleet.replicas:
            wait_for(replica.is_well, "a backend")
        fleet.url = stack.enter_context(discovering(folder, names.port, port))
        yield fleet


def test_each_service_says_that_it_is_well(fleet: Fleet) -> None:
    """By the very commands by which Docker asks."""
    services = fleet.composition.services
    assert redis_is_well(fleet.composition, fleet.redis)
    assert not redis_is_well(fleet.composition, fleet.redis, REDISCLI_AUTH="wrong")
    kind, *check = services["balancer"]["healthcheck"]["test"]
    assert kind == "CMD"
    port = fleet.url.rpartition(":")[2]
    assert subprocess.run(containers.words(check, {"9090": port}), env=inherited()).returncode == 0
    for replica in fleet.replicas:
        ready = requests.get(f"{replica.url}/ready", timeout=30).json()
        assert ready["caches"] == {"disk": "reachable", "redis": "reachable"}


def test_what_a_process_answers_counts_as_life_and_silence_does_not(fleet: Fleet) -> None:
    alive = fleet.replicas[0]
    nobody = Replica(alive.address, alive.port, alive.environment | {"PORT": "1"}, alive.process)
    assert (alive.is_well(), nobody.is_well()) == (True, False)
    with answering(lambda _: 401) as refusing, answering(lambda _: 500) as failing:
        found = [
            Replica("127.0.0.1", 0, alive.environment | {"PORT": url.rpartition(":")[2]}, alive.process).is_well()
            for url in (refusing, failing)
        ]
    assert found == [True, False]


def test_nobody_clicks_without_the_password(fleet: Fleet) -> None:
    body = recordings.ask(fleet.images()[0], SIZE, recordings.keypoint(50.0, 50.0))
    assert requests.post(f"{fleet.url}/predict", json=body, timeout=60).status_code == 401


def test_clicks_reach_all_replicas_and_an_image_is_encoded_once(fleet: Fleet) -> None:
    paths = fleet.images()
    asked = paths * 4
    with ThreadPoolExecutor(6) as pool:
        found = dict(zip(asked, map(tuple, pool.map(fleet.click, asked)), strict=True))
    assert all(tuple(fleet.click(path)) == found[path] for path in paths)
    assert sum(replica.metric("sam_encodes_total") for replica in fleet.replicas) == IMAGES
    answered = [replica.metric('sam_requests_total{endpoint="/predict"') for replica in fleet.replicas]
    assert all(answered), answered


def test_a_body_that_no_buffer_holds_gets_through(fleet: Fleet) -> None:
    [path, *_] = fleet.images()
    assert fleet.click(path, ballast="x" * 3_000_000) == fleet.click(path)


def test_clicks_go_on_when_a_replica_is_killed_and_when_one_is_added(fleet: Fleet) -> None:
    paths = fleet.images()
    expected = {path: fleet.click(path) for path in paths}
    lost = fleet.replicas[0]
    with ThreadPoolExecutor(6) as pool:
        answers = [(path, pool.submit(fleet.click, path)) for path in paths * 10]
        answers[10][1].result()
        lost.process.kill()
        assert all(answer.result() == expected[path] for path, answer in answers)
    fleet.names.addresses["backend"].remove(lost.address)
    assert not lost.is_well()
    added = fleet.start_replica()

    def is_asked() -> bool:
        assert all(fleet.click(path) == expected[path] for path in paths)
        return added.is_well() and added.metric('sam_requests_total{endpoint="/predict"') > 0

    wait_for(is_asked, "clicks on the added replica")
