"""The long form of `test_replicas`: three services, a Redis and the balancer; one of the services is killed."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from tests.support import recordings, scenes
from tests.support.balancer import balancing
from tests.support.image_host import ImageHost, image_host
from tests.support.redis_server import serving
from tests.support.service import running

IMAGES, ROUNDS, CLIENTS = 200, 3, 8
SIZE = (240, 320)
ELLIPSE = {"one": (50.0, 50.0, 15.0, 20.0)}

Bitmap = NDArray[np.bool_]


@pytest.fixture
def host() -> Iterator[ImageHost]:
    with image_host() as running_host:
        yield running_host


@pytest.mark.soak
def test_a_fleet_encodes_each_image_once_though_one_of_it_is_killed(host: ImageHost, tmp_path: Path) -> None:
    """Clicks on 200 images in random order, three on each; every answer is that of a service that is alone."""
    paths = [
        host.put(f"/data/upload/1/{seed}.png", scenes.png(scenes.draw(SIZE[1], SIZE[0], ELLIPSE, seed).rgb), token=None)
        for seed in range(IMAGES)
    ]

    def click(url: str, path: str) -> Bitmap:
        body = recordings.ask(path, SIZE, recordings.keypoint(50.0, 50.0))
        [region] = recordings.answered(requests.post(f"{url}/predict", json=body, timeout=120))
        return recordings.bitmap(region)

    about = {"LABEL_STUDIO_URL": host.url, "SAM_WARM_QUEUE": "0"}
    with running(tmp_path, **about) as alone:
        expected = {path: click(alone.url, path) for path in paths}

    with ExitStack() as stack:
        redis = stack.enter_context(serving(tmp_path))
        fleet = [stack.enter_context(running(tmp_path, **about, SAM_REDIS_URL=redis.url)) for _ in range(3)]
        url = stack.enter_context(balancing(tmp_path, [service.url for service in fleet]))
        asked = paths * ROUNDS
        random.Random(0).shuffle(asked)
        with ThreadPoolExecutor(CLIENTS) as pool:
            found = [(path, pool.submit(click, url, path)) for path in asked]
            found[IMAGES // 2][1].result(120)
            lost = fleet[0].metric("sam_encodes_total")
            fleet[0].process.kill()
            wrong = [path for path, answer in found if not np.array_equal(answer.result(120), expected[path])]
        assert wrong == []
        encodes = lost + sum(service.metric("sam_encodes_total") for service in fleet[1:])
        print(f"\n{encodes:.0f} encodes of {IMAGES} images in {len(asked)} clicks; the killed one had made {lost:.0f}.")
        assert IMAGES - CLIENTS <= encodes <= IMAGES + CLIENTS
