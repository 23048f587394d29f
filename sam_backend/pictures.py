"""Images by address: asked for when a task is opened and now and then, decoded once for equal bytes.

An address is no content: what it shows may change, and what it may show differs between projects and tokens. So each
asker's own token has to open it first. What it showed to him counts for `SAM_IMAGE_FRESH` seconds, or until the task is
opened again; then the server is asked whether it is the same still, and the bytes say which pixels they are.
"""

import hashlib
from dataclasses import dataclass

from sam_backend import metrics
from sam_backend.cache.memory import MemoryCache
from sam_backend.cache.single_flight import SingleFlight
from sam_backend.errors import SamBackendError
from sam_backend.labelstudio import images
from sam_backend.labelstudio.addresses import Connection, TaskId
from sam_backend.labelstudio.fetch import Fetcher, Stamp
from sam_backend.labelstudio.networks import Networks
from sam_backend.sam.types import Image
from sam_backend.settings import Settings
from sam_backend.sightings import Sighting, Sightings

_BUDGET = 256 * 1024**2
_LONGEST = 4096
"""Characters of an address that is remembered: data URIs bring the image along."""


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
        self._fetcher = Fetcher(Networks.of(settings))
        self._seen: Sightings[Picture] = Sightings(settings.image_fresh)
        self._looks: SingleFlight[Picture, Image] = SingleFlight()
        self._decoded: MemoryCache[bytes, _Decoded] = MemoryCache(budget)
        self._flights: SingleFlight[bytes, _Decoded] = SingleFlight()

    def get(self, picture: Picture) -> Image:
        """The upright image. Its server is not asked where it was seen a moment ago and its pixels are here still.

        Raises:
            ImageError: it could not be had or read.
        """
        seen = self._seen.fresh(picture)
        decoded = self._decoded.get(seen.digest) if seen else None
        if decoded is None:
            return self._looks.do(picture, lambda: self._look(picture))
        metrics.count_cache(hit=True, cache="images")
        return decoded.image

    def doubt(self, picture: Picture) -> None:
        """Ask its server next time, however long ago it was seen: who opens a task sees what it shows now."""
        self._seen.doubt(picture)

    def fetch(self, picture: Picture) -> bytes:
        """The image's file.

        Raises:
            ImageError: it could not be had.
        """
        return self._fetched(picture)[1]

    def _fetched(self, picture: Picture) -> tuple[bytes, bytes]:
        """The file's digest, and the file."""
        found = self._file(picture)
        assert found is not None  # noqa: S101 (without a stamp there is no "the same still")
        return found

    def _look(self, picture: Picture) -> Image:
        """What its server shows now."""
        last, now = self._seen.last(picture), self._seen.now()
        decoded = self._decoded.get(last.digest) if last else None
        if last is None or decoded is None:
            return self._image(*self._fetched(picture))
        found = self._file(picture, last.stamp)
        if found is not None:
            return self._image(*found)
        self._seen.note(picture, Sighting(last.digest, last.stamp, now))
        metrics.count_cache(hit=True, cache="images")
        return decoded.image

    def _file(self, picture: Picture, known: Stamp | None = None) -> tuple[bytes, bytes] | None:
        """The file's digest and the file, or None where it is the known one still. A failure is not noted."""
        now = self._seen.now()
        try:
            with metrics.stage("fetch"):
                file = self._fetcher.ask(picture.url, picture.connection, self._limits, picture.task_id, known)
        except SamBackendError:
            self._seen.forget(picture)
            raise
        if file is None:
            return None
        digest = hashlib.sha256(file.data).digest()
        if len(picture.url) <= _LONGEST:
            self._seen.note(picture, Sighting(digest, file.stamp, now))
        return digest, file.data

    def decode(self, data: bytes) -> Image:
        """The upright image of a file.

        Raises:
            ImageError: it could not be read.
        """
        return self._image(hashlib.sha256(data).digest(), data)

    def _image(self, key: bytes, data: bytes) -> Image:
        """The upright image of a file; `key` is its digest."""
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
