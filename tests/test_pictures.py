"""A task's image by its address: through Label Studio where that has the keys, decoded once for equal bytes.

What it showed counts for a while, for who saw it and for nobody else.
"""

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from sam_backend.errors import ImageUnavailableError, ImageUrlError
from sam_backend.labelstudio.addresses import Connection
from sam_backend.labelstudio.fetch import Stamp
from sam_backend.pictures import Picture, Pictures
from sam_backend.settings import Settings
from sam_backend.sightings import Sighting, Sightings
from tests.labelstudio.servers import Asked, CloudStudio, Reply, serving
from tests.support.image_host import TOKEN, ImageHost, image_host

RGB = np.random.default_rng(5).integers(0, 256, (20, 30, 3), dtype=np.uint8)
URI = "s3://bucket/a.png"


PATH = "/data/upload/1/a.png"


def file(rgb: NDArray[np.uint8] = RGB) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def host() -> Iterator[ImageHost]:
    with image_host() as running:
        running.put(PATH, file())
        yield running


@pytest.fixture
def pictures() -> Pictures:
    """That look again only when told to."""
    return Pictures(Settings(image_fresh=86_400))


def here(host: ImageHost, token: str = TOKEN, task: int = 1) -> Picture:
    return Picture(PATH, Connection(host.url, token), task)


def test_a_cloud_storages_image_is_had_by_its_tasks_id() -> None:
    with serving(CloudStudio("token", {URI: file()}, task="12").answer) as studio:
        connection = Connection(studio.url, "token")
        pictures = Pictures(Settings())
        image = pictures.get(Picture(URI, connection, 12))
        assert np.array_equal(image.rgb, RGB)
        assert pictures.get(Picture(URI, connection, "12")).rgb is image.rgb
        with pytest.raises(ImageUrlError, match="task's id"):
            pictures.get(Picture(URI, connection))


@pytest.mark.parametrize("task_id", [None, True, 1.5, {"id": 3}, [3]])
def test_what_is_no_id_of_a_task_is_none_and_does_not_hinder_warming(task_id: Any) -> None:
    """The warmer keeps pictures in a dictionary."""
    picture = Picture("/data/upload/1/a.png", Connection("http://localhost"), task_id)
    assert picture.task_id is None
    assert picture in {picture: None}


def test_what_was_seen_a_moment_ago_is_not_asked_again(host: ImageHost, pictures: Pictures) -> None:
    first = pictures.get(here(host))
    assert pictures.get(here(host)) is first
    assert len(host.requests) == 1


def test_with_no_time_to_be_fresh_each_look_asks(host: ImageHost) -> None:
    pictures = Pictures(Settings(image_fresh=0))
    first = pictures.get(here(host))
    assert pictures.get(here(host)) is first
    assert len(host.requests) == 2


def test_a_changed_image_is_seen_as_soon_as_its_task_is_opened(host: ImageHost, pictures: Pictures) -> None:
    pictures.get(here(host))
    host.put(PATH, file(255 - RGB))
    assert np.array_equal(pictures.get(here(host)).rgb, RGB)
    pictures.doubt(here(host))
    assert np.array_equal(pictures.get(here(host)).rgb, 255 - RGB)
    assert len(host.requests) == 2


def test_an_unchanged_image_is_not_sent_again_where_the_server_can_tell(host: ImageHost, pictures: Pictures) -> None:
    host.put(PATH, file(), tagged=True)
    first = pictures.get(here(host))
    pictures.doubt(here(host))
    assert pictures.get(here(host)) is first
    assert pictures.get(here(host)) is first
    assert (len(host.requests), len(host.sent)) == (2, 1)
    host.put(PATH, file(255 - RGB), tagged=True)
    pictures.doubt(here(host))
    assert np.array_equal(pictures.get(here(host)).rgb, 255 - RGB)
    assert len(host.sent) == 2


def test_nobody_sees_what_another_token_saw(host: ImageHost, pictures: Pictures) -> None:
    """Nor what another project's `/setup` or another task opened: each has to ask."""
    pictures.get(here(host))
    with pytest.raises(ImageUnavailableError, match="401"):
        pictures.get(here(host, token="another's"))
    with pytest.raises(ImageUnavailableError, match="401"):
        pictures.get(Picture(PATH, Connection("", "", host.url, "another's"), 1))
    pictures.get(here(host, task=2))
    assert len(host.requests) == 4


def test_what_may_no_longer_be_seen_is_forgotten(host: ImageHost, pictures: Pictures) -> None:
    pictures.get(here(host))
    host.put(PATH, file(), token="another")
    pictures.doubt(here(host))
    for _ in range(2):
        with pytest.raises(ImageUnavailableError, match="401"):
            pictures.get(here(host))
    assert len(host.requests) == 3


def test_a_failure_is_not_remembered(host: ImageHost, pictures: Pictures) -> None:
    host.put(PATH, b"", status=503)
    with pytest.raises(ImageUnavailableError, match="503"):
        pictures.get(here(host))
    host.put(PATH, file())
    assert np.array_equal(pictures.get(here(host)).rgb, RGB)


def test_pixels_that_are_gone_are_fetched_anew_and_whole(host: ImageHost) -> None:
    host.put(PATH, file(), tagged=True)
    pictures = Pictures(Settings(image_fresh=86_400), budget=RGB.nbytes - 1)
    for count in (1, 2):
        assert np.array_equal(pictures.get(here(host)).rgb, RGB)
        assert len(host.sent) == count


def test_what_is_fetched_to_be_labeled_is_seen_too(host: ImageHost, pictures: Pictures) -> None:
    pictures.get(here(host))
    host.put(PATH, file(255 - RGB))
    pictures.fetch(here(host))
    assert np.array_equal(pictures.get(here(host)).rgb, 255 - RGB)


def test_who_asks_meanwhile_shares_the_answer(host: ImageHost, pictures: Pictures) -> None:
    gate = threading.Event()
    host.put(PATH, file(), gate=gate)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(pictures.get, here(host)) for _ in range(8)]
        gate.set()
        assert len({id(one.result(30)) for one in asked}) == 1
    assert len(host.requests) == 1


def test_an_etag_goes_to_the_address_that_gave_it_and_to_no_other() -> None:
    """Behind a redirect that leads elsewhere the next time, the same tag may mean another file."""
    with serving(lambda _: Reply(200, file(), {"ETag": '"1"'})) as one, serving(_by_tag) as two:
        targets = iter([one.url, two.url, two.url])
        with serving(lambda _: Reply(302, b"", {"Location": f"{next(targets)}/a.png"})) as door:
            pictures = Pictures(Settings(image_fresh=0, image_networks=(ip_network("127.0.0.0/8"),)))
            picture = Picture(f"{door.url}/a.png", Connection())
            assert np.array_equal(pictures.get(picture).rgb, RGB)
            assert np.array_equal(pictures.get(picture).rgb, 255 - RGB)
            assert np.array_equal(pictures.get(picture).rgb, 255 - RGB)
            assert not any("if-none-match" in asked.headers for asked in door.asked)
    assert [asked.headers.get("if-none-match") for asked in two.asked] == [None, '"1"']


def _by_tag(asked: Asked) -> Reply:
    return Reply(304) if asked.headers.get("if-none-match") else Reply(200, file(255 - RGB), {"ETag": '"1"'})


def test_no_more_than_so_many_are_remembered() -> None:
    sightings = Sightings[int](60, most=2)
    for number in range(3):
        sightings.note(number, Sighting(b"", Stamp(), sightings.now()))
    assert [sightings.fresh(number) is not None for number in range(3)] == [False, True, True]


def test_a_sighting_grows_old() -> None:
    now = [100.0]
    sightings = Sightings[str](60, clock=lambda: now[0])
    sightings.note("a", Sighting(b"", Stamp(), sightings.now()))
    now[0] += 59
    assert sightings.fresh("a")
    now[0] += 1
    assert not sightings.fresh("a")
    assert sightings.last("a")
