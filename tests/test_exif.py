"""A camera's orientation and the annotator's rotated view: the mask lands on the object in each."""

from collections.abc import Iterator

import pytest
import requests

from tests.support import recordings, scenes
from tests.support.image_host import TOKEN, ImageHost, image_host
from tests.support.service import Service, running

# Neither the picture nor the object is like itself when turned or mirrored.
PHOTO = scenes.draw(900, 600, {"object": (32, 28, 14, 20), "other": (75, 70, 10, 12)}, seed=4)
SIZE = (600, 900)
CLICK = (36.0, 20.0)


@pytest.fixture(scope="module")
def host() -> Iterator[ImageHost]:
    with image_host() as running_host:
        yield running_host


@pytest.fixture(scope="module")
def service(host: ImageHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with running(folder, LABEL_STUDIO_URL=host.url, LABEL_STUDIO_API_KEY=TOKEN) as running_service:
        yield running_service


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_mask_lands_on_the_object(service: Service, host: ImageHost, orientation: int, rotation: int) -> None:
    path = host.put(f"/data/upload/1/{orientation}.jpg", scenes.jpeg(PHOTO.rgb, orientation))
    body = recordings.ask(path, SIZE, recordings.keypoint(*CLICK, image_rotation=rotation))
    [region] = recordings.answered(requests.post(f"{service.url}/predict", json=body, timeout=60))
    assert (region["original_height"], region["original_width"]) == SIZE
    assert region["image_rotation"] == rotation
    assert scenes.iou(recordings.bitmap(region), PHOTO.objects["object"]) >= 0.8
