"""Several replicas with one Redis: an image is encoded once among them, and no answer depends on who encoded it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests

from sam_backend import metrics
from sam_backend.cache import redis_link
from sam_backend.errors import SettingError
from sam_backend.sam.types import Image, Prompt
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings
from tests.support import scenes
from tests.support.redis_server import RedisServer, serving
from tests.support.service import running

REPLICAS, IMAGES = 3, 6
CLICK = Prompt(points=np.array([[75.0, 55.0]]), point_labels=np.array([1]))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with serving(tmp_path) as running_server:
        yield running_server


def replica(server: RedisServer, **settings: str) -> Segmenter:
    return Segmenter(Settings.model_validate({"redis_url": server.url, **settings}))


def picture(seed: int) -> Image:
    return Image(scenes.draw(300, 200, scenes.STAGE, seed=seed).rgb, f"replicas-{seed}")


def encodes() -> float:
    return metrics.REGISTRY.get_sample_value("sam_encodes_total") or 0.0


def test_each_image_is_encoded_once_among_all_and_all_answer_alike(server: RedisServer) -> None:
    """18 clicks at once on 6 images; the answers are those of one that is alone."""
    replicas, alone = [replica(server) for _ in range(REPLICAS)], Segmenter(Settings())
    images = [picture(seed) for seed in range(IMAGES)]
    expected = {image.digest: alone.segment(image, CLICK)[0].bitmap.tobytes() for image in images}
    before = encodes()
    with ThreadPoolExecutor(REPLICAS * IMAGES) as pool:
        asked = [(one, image) for image in images for one in replicas]
        found = pool.map(lambda pair: (pair[1].digest, pair[0].segment(pair[1], CLICK)[0].bitmap.tobytes()), asked)
        assert all(expected[digest] == bitmap for digest, bitmap in found)
    assert encodes() - before == IMAGES


def test_a_restarted_replica_needs_no_encode(server: RedisServer) -> None:
    first = replica(server)
    (mask,) = first.segment(picture(0), CLICK)
    first.flush()
    before = encodes()
    (again,) = replica(server).segment(picture(0), CLICK)
    assert (encodes() - before, again.bitmap.tobytes()) == (0, mask.bitmap.tobytes())


def test_another_models_embedding_is_never_taken(server: RedisServer) -> None:
    first = replica(server, precision="f32")
    first.segment(picture(0), CLICK)
    first.flush()
    before = encodes()
    replica(server, precision="bf16").segment(picture(0), CLICK)
    assert encodes() - before == 1


def test_with_redis_gone_each_goes_on_alone(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "REST_SECONDS", 0.1)
    one, other = replica(server), replica(server)
    (mask,) = one.segment(picture(0), CLICK)
    server.kill()
    before = encodes()
    (again,) = other.segment(picture(0), CLICK)
    assert (encodes() - before, again.bitmap.tobytes()) == (1, mask.bitmap.tobytes())
    assert other.caches() == {"redis": False}
    server.start()
    monkeypatch.undo()


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "redis://:secret@localhost:port/0"])
def test_an_address_that_is_none_of_redis_stops_the_start_without_a_word_of_its_password(url: str) -> None:
    with pytest.raises(SettingError, match="SAM_REDIS_URL") as caught:
        Segmenter(Settings.model_validate({"redis_url": url}))
    assert "secret" not in str(caught.value)


def test_ready_names_the_caches_and_stays_so_without_them(server: RedisServer, tmp_path: Path) -> None:
    with running(tmp_path, SAM_REDIS_URL=server.url, SAM_CACHE_DIR=str(tmp_path / "cache")) as service:
        answer = requests.get(f"{service.url}/ready", timeout=30)
        assert (answer.status_code, answer.json()["status"]) == (200, "READY")
        assert answer.json()["caches"] == {"disk": "reachable", "redis": "reachable"}
        server.kill()
        answer = requests.get(f"{service.url}/ready", timeout=30)
        assert answer.status_code == 200
        assert answer.json()["caches"] == {"disk": "reachable", "redis": "unreachable"}
