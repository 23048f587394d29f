"""What a restart finds again."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support import recordings, scenes
from tests.support.image_host import TOKEN, ImageHost, image_host
from tests.support.service import running
from tests.test_concurrency import Body, answer
from tests.test_process import until

SIZES = [(480, 640), (801, 1203)]


@pytest.fixture
def host() -> Iterator[ImageHost]:
    with image_host() as running_host:
        for number, (height, width) in enumerate(SIZES):
            scene = scenes.draw(width, height, scenes.STAGE, seed=number)
            running_host.put(f"/data/upload/1/{number}.png", scenes.png(scene.rgb))
        yield running_host


def clicks() -> list[Body]:
    return [
        recordings.ask(f"/data/upload/1/{number}.png", size, recordings.keypoint(35, 40))
        for number, size in enumerate(SIZES)
    ]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_after_a_restart_the_first_click_needs_no_encode_and_its_answer_is_the_same(
    host: ImageHost, tmp_path: Path, stop: signal.Signals
) -> None:
    settings = {
        "LABEL_STUDIO_URL": host.url,
        "LABEL_STUDIO_API_KEY": TOKEN,
        "SAM_CACHE_DIR": str(tmp_path / "cache"),
        "SAM_WARM_QUEUE": "0",
        "SAM_CROP_BELOW": "0",
    }
    with running(tmp_path, **settings) as service:
        before = [answer(service, body) for body in clicks()]
        assert service.metric("sam_encodes_total") == len(SIZES)
        if stop == signal.SIGKILL:
            until(lambda: len(list((tmp_path / "cache/embeddings").glob("??/" + "?" * 64))) == len(SIZES))
        service.process.send_signal(stop)
        service.process.wait(40)
    with running(tmp_path, **settings) as service:
        assert [answer(service, body) for body in clicks()] == before
        assert service.metric("sam_encodes_total") == 0
        assert service.metric('sam_cache_hits_total{cache="embeddings",tier="disk"}') == len(SIZES)
        assert "disk=" in service.log()
        assert "WARNING" not in service.log()


def test_after_a_restart_it_still_knows_the_token_that_setup_brought(host: ImageHost, tmp_path: Path) -> None:
    """Without it, relative addresses have no host and images no token."""
    schema = (recordings.read("S1_connect__setup").body or {})["schema"]
    about = {"project": clicks()[0]["project"], "schema": schema}
    setup = about | {"hostname": host.url, "access_token": TOKEN, "extra_params": None}
    settings = {"SAM_CACHE_DIR": str(tmp_path / "cache"), "SAM_WARM_QUEUE": "0"}
    with running(tmp_path, **settings) as service:
        assert requests.post(f"{service.url}/setup", json=setup, timeout=30).status_code == 200
        before = answer(service, clicks()[0])
        service.process.kill()
        service.process.wait(40)
    with running(tmp_path, **settings) as service:
        assert answer(service, clicks()[0]) == before
