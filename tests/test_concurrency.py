"""Many annotators at once: everybody gets the mask that they would have got alone, of their own image."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support import recordings, scenes
from tests.support.image_host import TOKEN, ImageHost, image_host
from tests.support.service import Service, running

ROOT = Path(__file__).parents[1]
THREADS = 8
IMAGES = 6
CLICKS = 20
SIZES = [(480, 640), (640, 480), (600, 600), (400, 900), (801, 1203), (333, 257)]

Body = dict[str, Any]
Prompt = Callable[[random.Random], list[Body]]


@pytest.fixture
def host() -> Iterator[ImageHost]:
    with image_host() as running_host:
        for number, (height, width) in enumerate(SIZES):
            scene = scenes.draw(width, height, scenes.STAGE, seed=number)
            running_host.put(f"/data/upload/1/{number}.png", scenes.png(scene.rgb))
        yield running_host


def bodies(seed: int) -> list[Body]:
    """One annotator's requests: any prompts on any image, in any order; each has tasks of their own."""
    dice = random.Random(seed)
    kinds: list[Prompt] = [
        lambda dice: [recordings.keypoint(*place(dice))],
        lambda dice: [recordings.keypoint(*place(dice), positive=index != 1) for index in range(dice.randint(2, 5))],
        lambda dice: [recordings.rectangle(*place(dice), dice.uniform(5, 50), dice.uniform(5, 50))],
    ]
    images = [dice.randrange(IMAGES) for _ in range(CLICKS)]
    asked = [recordings.ask(f"/data/upload/1/{n}.png", SIZES[n], *dice.choice(kinds)(dice)) for n in images]
    for image, body in zip(images, asked, strict=True):
        body["tasks"][0]["id"] = 100 * seed + image
    return asked


def place(dice: random.Random) -> tuple[float, float]:
    return dice.uniform(1, 99), dice.uniform(1, 99)


def answer(service: Service, body: Body) -> list[Body]:
    """What a body is answered, without the regions' random ids."""
    regions = recordings.answered(requests.post(f"{service.url}/predict", json=body, timeout=120))
    return [{key: value for key, value in region.items() if key != "id"} for region in regions]


def test_eight_annotators_on_six_images_get_the_serial_answers(host: ImageHost, tmp_path: Path) -> None:
    settings = {"LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN}
    work = [bodies(seed) for seed in range(THREADS)]
    assert {body["tasks"][0]["data"]["image"] for one in work for body in one} == set(host.replies)
    with running(tmp_path, **settings) as service, ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(lambda one: [answer(service, body) for body in one], work))
        assert service.metric("sam_encodes_total") == IMAGES
    with running(tmp_path, **settings) as service:
        alone = [[answer(service, body) for body in one] for one in work]
        assert service.metric("sam_encodes_total") == IMAGES
    assert together == alone
    assert len({str(one) for answers in alone for one in answers}) > IMAGES


def test_all_who_ask_for_a_cold_image_at_once_share_one_encode(host: ImageHost, tmp_path: Path) -> None:
    body = recordings.ask("/data/upload/1/0.png", SIZES[0], recordings.keypoint(35, 40))
    settings = {"LABEL_STUDIO_URL": host.url, "LABEL_STUDIO_API_KEY": TOKEN}
    with running(tmp_path, **settings) as service, ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda _: answer(service, body), range(THREADS)))
        assert service.metric("sam_encodes_total") == 1
    assert answers == answers[:1] * THREADS


def test_projects_of_two_label_studios_never_see_each_others_images_or_tokens(tmp_path: Path) -> None:
    """Both have a project 6 and an upload of the same name, and each its own token."""
    path, ours = "/data/upload/6/same-name.png", {"6.1": "a" * 40, "6.2": "b" * 40}
    places = {"6.1": (30.0, 30.0), "6.2": (70.0, 65.0)}
    drawn = {key: scenes.draw(640, 480, {"object": (*place, 18, 20)}, int(place[0])) for key, place in places.items()}
    with image_host() as one, image_host() as two, running(tmp_path) as service, ThreadPoolExecutor(THREADS) as pool:
        hosts = {"6.1": one, "6.2": two}
        schema = recordings.read("S1_connect__setup").body
        assert schema is not None
        for project, host in hosts.items():
            host.put(path, scenes.png(drawn[project].rgb), token=ours[project])
            introduced = schema | {"project": project, "hostname": host.url, "access_token": ours[project]}
            requests.post(f"{service.url}/setup", json=introduced, timeout=10).raise_for_status()
        asked = [random.Random(seed).choice(list(ours)) for seed in range(60)]
        clicks = [recordings.ask(path, (480, 640), recordings.keypoint(*places[key]), project=key) for key in asked]
        for project, [region] in zip(asked, pool.map(lambda body: answer(service, body), clicks), strict=True):
            assert scenes.iou(recordings.bitmap(region), drawn[project].objects["object"]) >= 0.8
        for project, host in hosts.items():
            assert {authorization for _, authorization in host.requests} == {f"Token {ours[project]}"}
        assert not any(token in service.log() for token in ours.values())


FIRST_AT_ONCE = """
import sys, threading
import numpy as np
from sam_backend.sam.encoder import encode
from sam_backend.sam.turns import Request
from sam_backend.sam.types import Image
from sam_backend.served_model import ServedModel
from sam_backend.settings import Settings

sys.setswitchinterval(1e-6)
model, together = ServedModel(Settings()).load(), threading.Barrier(8)

def first(number):
    image = Image(np.full((60, 80, 3), number, np.uint8), str(number))
    request = Request(model.encoder_request())
    together.wait()
    encode(model, image, "version", request)

threads = [threading.Thread(target=first, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.parametrize("attempt", range(2))
def test_the_first_images_of_a_process_may_come_at_once(attempt: int) -> None:
    """OpenVINO's bindings once stood still for good when two threads were the first to use them."""
    done = subprocess.run([sys.executable, "-c", FIRST_AT_ONCE], cwd=ROOT, timeout=100)
    assert done.returncode == 0, attempt
