"""A task's image by its address: through Label Studio where that has the keys, decoded once for equal bytes."""

import io
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sam_backend.errors import ImageUrlError
from sam_backend.labelstudio.addresses import Connection
from sam_backend.pictures import Picture, Pictures
from sam_backend.settings import Settings
from tests.labelstudio.servers import CloudStudio, serving

RGB = np.random.default_rng(5).integers(0, 256, (20, 30, 3), dtype=np.uint8)
URI = "s3://bucket/a.png"


def file() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(RGB).save(buffer, "PNG")
    return buffer.getvalue()


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
