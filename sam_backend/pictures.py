"""Images by address: fetched for each request, decoded once for equal bytes.

An address is no content: what it shows may change, and what it may show differs between projects and tokens. So the
bytes are asked for each time, with the asker's own token, and only they say whether the pixels are known already.
"""

import hashlib
from dataclasses import dataclass

from sam_backend import metrics
from sam_backend.cache.memory import MemoryCache
from sam_backend.cache.single_flight import SingleFlight
from sam_backend.labelstudio import images
from sam_backend.labelstudio.addresses import Connection, TaskId
from sam_backend.labelstudio.fetch import Fetcher
from sam_backend.sam.types import Image
from sam_backend.settings import Settings

_BUDGET = 256 * 1024**2


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as Label Studio names it, and who may ask for it.

    Attributes:
        url: as it stands in the task.
        connection: the Label Studio that the request belongs to.
        task_id: the task's, which Label Studio wants for a cloud storage's URI; what is no id becomes None.
    """

    url: str
    connection: Connection
    task_id: TaskId | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.task_id, int | str) or isinstance(self.task_id, bool):
            object.__setattr__(self, "task_id", None)


@dataclass(frozen=True, slots=True)
class _Decoded:
    image: Image

    @property
    def nbytes(self) -> int:
        return int(self.image.rgb.nbytes)


class Pictures:
    """Fetches and decodes images. Threads share it."""

    def __init__(self, settings: Settings, budget: int = _BUDGET) -> None:
        self._limits = images.Limits.of(settings)
        self._fetcher = Fetcher()
        self._decoded: MemoryCache[bytes, _Decoded] = MemoryCache(budget)
        self._flights: SingleFlight[bytes, _Decoded] = SingleFlight()

    def get(self, picture: Picture) -> Image:
        """The upright image.

        Raises:
            ImageError: it could not be had or read.
        """
        return self.decode(self.fetch(picture))

    def fetch(self, picture: Picture) -> bytes:
        """The image's file.

        Raises:
            ImageError: it could not be had.
        """
        with metrics.stage("fetch"):
            return self._fetcher.fetch(picture.url, picture.connection, self._limits, picture.task_id)

    def decode(self, data: bytes) -> Image:
        """The upright image of a file.

        Raises:
            ImageError: it could not be read.
        """
        key = hashlib.sha256(data).digest()
        decoded = self._decoded.get(key)
        metrics.count_cache(hit=decoded is not None, cache="images")
        if decoded is None:
            decoded = self._flights.do(key, lambda: self._decoded_once(key, data))
        return decoded.image

    def _decoded_once(self, key: bytes, data: bytes) -> _Decoded:
        # Between this caller's miss and its flight another flight may have landed: look once more.
        landed = self._decoded.get(key)
        if landed is not None:
            return landed
        with metrics.stage("decode_image"):
            decoded = _Decoded(images.decode(data, self._limits))
        self._decoded.put(key, decoded)
        return decoded
