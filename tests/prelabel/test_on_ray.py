"""On a Ray cluster: the same answers as here, one for each item, whatever dies."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sam_backend.errors import JobError
from sam_backend.prelabel.default_config import default_config
from sam_backend.prelabel.local import in_this_process
from sam_backend.prelabel.on_ray import OnRay, ray_executor
from sam_backend.prelabel.types import Item, Order, Outcome
from sam_backend.settings import Settings
from tests.support import bulk, ray_cluster
from tests.support.service import environment

# Ray Data warns of its own attributes.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.*")

COUNT = 24


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    names = bulk.draw_images(tmp_path, COUNT)
    return [Item(name, {"data": {"image": f"/data/local-files/?d={name}"}}, tmp_path / name) for name in names]


def order(**more: Any) -> Order:
    automatic = {"mode": "everything", "points_per_side": 3, "stability_score_thresh": 0.8, "pred_iou_thresh": 0.7}
    settings = Settings.model_validate({"automatic": automatic, "inference_threads": 1, **more})
    return Order(settings, default_config())


def predictions(outcomes: list[Outcome]) -> dict[str, bytes | None]:
    return {outcome.item.key: outcome.prediction for outcome in outcomes}


@pytest.mark.slow
def test_all_items_come_out_once_and_as_here_though_a_node_dies(items: list[Item], tmp_path: Path) -> None:
    """Also: an image that is on no node is its item's failure, not the run's."""
    lost = Item("lost.png", {"data": {"image": "/data/local-files/?d=lost.png"}}, tmp_path / "lost.png")
    here = list(in_this_process(order(), [*items, lost]))
    with ray_cluster.running(nodes=3) as cluster:
        outcomes = OnRay(cluster.address)(order(), [*items, lost])
        there = [next(outcomes) for _ in range(4)]
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        there += outcomes
    assert sorted(outcome.item.key for outcome in there) == sorted(outcome.item.key for outcome in here)
    assert predictions(there) == predictions(here)
    assert [outcome.item for outcome in there if outcome.error] == [lost]
    assert sum(outcome.regions for outcome in there) > COUNT


@pytest.mark.soak
def test_an_item_that_kills_its_actor_each_time_fails_and_the_others_do_not(items: list[Item], tmp_path: Path) -> None:
    deadly = tmp_path / "deadly.png"
    os.mkfifo(deadly)
    with ray_cluster.running(nodes=2) as cluster, killing_readers(deadly) as killed:
        outcomes = list(ray_executor(cluster.address)(order(), [Item("deadly", items[0].task, deadly), *items]))
    assert sorted(outcome.item.key for outcome in outcomes) == sorted(["deadly", *(item.key for item in items)])
    assert {outcome.item.key: outcome.error for outcome in outcomes if outcome.error} == {
        "deadly": "The actor that labeled it died, 3 times."
    }
    assert len(killed) == 3


@contextmanager
def killing_readers(pipe: Path) -> Iterator[list[int]]:
    """Kill each process that opens a pipe to read it."""
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            try:
                end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                continue  # nobody reads
            time.sleep(0.2)
            for process in readers(pipe):
                killed.append(process)
                os.kill(process, signal.SIGKILL)
            os.close(end)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def readers(pipe: Path) -> Iterator[int]:
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        process = int(link.parts[2])
        with suppress(OSError):
            if process != os.getpid() and link.readlink() == pipe:
                yield process


@pytest.mark.soak
def test_the_command_stops_at_once_at_ctrl_c_and_goes_on_from_there(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    names = bulk.draw_images(photos, COUNT)
    output = tmp_path / "tasks.json"
    what = ("--images", photos, "--output", output, *bulk.QUICK)
    with ray_cluster.running(nodes=2) as cluster:
        job = bulk.start(*what, "--ray", cluster.address, "--pause", "0.5", folder=tmp_path)
        done = bulk.wait_for(job, output, 3)
        start = time.monotonic()
        job.send_signal(signal.SIGINT)
        code, said = bulk.finish(job, tmp_path)
        took = time.monotonic() - start
        assert (code, took < 10) == (130, True), (said, took)
        code, said = bulk.finish(bulk.start(*what, "--ray", cluster.address, folder=tmp_path), tmp_path)
    assert code == 0, said
    assert f"{COUNT - len(done)} labeled" in said or len(bulk.tasks(output)) == COUNT
    assert len(bulk.tasks(output)) == len(names)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("somewhere", "--ray somewhere is none of local, auto and HOST:PORT."),
        ("ray://127.0.0.1:10001", "--ray takes no ray:// address."),
        ("127.0.0.2:1", "Nothing answers at 127.0.0.2:1"),
    ],
)
def test_an_address_where_no_cluster_is_is_said_at_once(address: str, reason: str) -> None:
    with pytest.raises(JobError, match=re.escape(reason)):
        list(ray_executor(address)(order(), []))


WITHOUT_RAY = """
import sys
sys.modules["ray"] = None
from sam_backend.cli import main
main()
"""


def test_without_ray_the_command_that_installs_it_is_said(tmp_path: Path) -> None:
    bulk.draw_images(tmp_path, 1)
    what = ["prelabel", "--images", str(tmp_path), "--output", str(tmp_path / "tasks.json"), "--ray", "auto"]
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_RAY, *what], env=environment(), capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 2, result.stderr
    assert "pip install --no-deps -r requirements-ray.txt" in result.stderr
    assert "Traceback" not in result.stderr
