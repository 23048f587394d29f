"""One item at a time: its image is had, labeled, and drawn if wanted. Whatever happens, an outcome comes of it."""

import functools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import orjson
from pydantic import ByteSize

from sam_backend.errors import ImageTooLargeError, ImageUnavailableError, SamBackendError
from sam_backend.labelstudio import config, images
from sam_backend.labelstudio.addresses import Connection
from sam_backend.labelstudio.tasks import image_urls
from sam_backend.pictures import Picture, Pictures
from sam_backend.preannotation import labeling, spots
from sam_backend.preannotation.labeling import Labeled
from sam_backend.preannotation.plan import Plan
from sam_backend.prelabel import embedding
from sam_backend.prelabel.types import Item, Order, Outcome
from sam_backend.sam.types import Image
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings

logger = logging.getLogger(__name__)

Ahead = dict[str, "Future[Image]"]
"""Images that are fetched before their turn, by address."""

_MEMORY = 64 * 1024**2
"""For embeddings, and for images: each is asked for once in a run."""
_LONGEST = 500


class Worker:
    """Labels items with a model of its own. Not for several threads at once.

    Args:
        order: what is asked for.

    Raises:
        StartError: the model folder or the device cannot be used.
        LabelConfigError: the label config cannot be used.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._settings = _lean(order.settings)
        self._segmenter = Segmenter(self._settings)
        self._plan = Plan.of(self._settings, config.parse(order.label_config, prompted=False))
        self._limits = images.Limits.of(self._settings)
        self._pictures = Pictures(self._settings, _MEMORY)

    @property
    def version(self) -> str:
        """The `model_version` of its predictions: equal versions give equal predictions."""
        return self._plan.version(self._segmenter.model_version)

    def load(self) -> None:
        """Compile the model now; else the first item does.

        Raises:
            ModelError: OpenVINO refused.
        """
        self._segmenter.load()

    def look_ahead(self, item: Item) -> Ahead:
        """Begin to fetch and decode an item's images, in another thread; returns at once."""
        if item.path is not None:
            return {}  # quick enough
        try:
            ahead: Ahead = {url: Future() for url in self._urls(item)}
        except SamBackendError:
            return {}  # said when it is labeled
        # A daemon: whoever stops the run does not wait for an image's server.
        threading.Thread(target=self._fill, args=(item, ahead), name="ahead", daemon=True).start()
        return ahead

    def _fill(self, item: Item, ahead: Ahead) -> None:
        for url, image in ahead.items():
            try:
                image.set_result(self._pictures.get(self._picture(item, url)))
            except Exception as error:  # noqa: BLE001 - raised where the image is wanted
                image.set_exception(error)

    def _urls(self, item: Item) -> list[str]:
        if self._order.embed_only:
            return image_urls(item.task, self._plan.label_config)
        return [spot.url for spot in spots.read(item.task, self._plan)]

    def label(self, item: Item, ahead: Ahead | None = None) -> Outcome:
        """What comes of an item, with those of its images that were looked at ahead; never an exception."""
        start = time.perf_counter()
        try:
            outcome = self._label(item, ahead or {})
        except SamBackendError as error:
            outcome = Outcome(item, error=one_line(str(error)))
        except Exception as error:  # one item must not end a run of a hundred thousand
            logger.exception("%s failed: a bug; please report it with this traceback.", item.key)
            outcome = Outcome(item, error=one_line(f"{type(error).__name__}: {error}"))
        time.sleep(self._order.pause)
        return Outcome(
            item, outcome.prediction, outcome.error, outcome.regions, outcome.left_out, time.perf_counter() - start
        )

    def _label(self, item: Item, ahead: Ahead) -> Outcome:
        image_of = functools.cache(self._opener(item, ahead))
        if self._order.embed_only:
            return embedding.embed(self._segmenter, image_of, item, self._plan.label_config)
        labeled = labeling.predict(self._segmenter, image_of, item.task, self._plan)
        if labeled is None:
            return Outcome(item)
        if self._order.preview:
            shown = [(spot, image_of(spot.url)) for spot in spots.read(item.task, self._plan)]
            _draw(self._order.preview, item.key, shown, labeled)
        prediction = orjson.dumps(labeled.prediction)
        return Outcome(item, prediction, regions=labeled.regions, left_out=labeled.left_out)

    def _opener(self, item: Item, ahead: Ahead) -> Callable[[str], Image]:
        """How the item's images are had: from its file, else by the address in the task."""
        if item.path is not None:
            path = item.path
            return lambda _: images.decode(_read(path, self._limits.max_bytes), self._limits)
        return lambda url: ahead[url].result() if url in ahead else self._pictures.get(self._picture(item, url))

    def _picture(self, item: Item, url: str) -> Picture:
        connection = Connection(self._settings.label_studio_url, self._settings.label_studio_api_key.get_secret_value())
        return Picture(url, connection, item.task.get("id"))


def one_line(text: str) -> str:
    """A reason as reports have it."""
    return " ".join(text.split())[:_LONGEST]


def _lean(settings: Settings) -> Settings:
    return settings.model_copy(update={"memory_cache": ByteSize(min(settings.memory_cache, _MEMORY))})


def _draw(folder: Path, key: str, shown: list[tuple[spots.Spot, Image]], labeled: Labeled) -> None:
    from sam_backend.prelabel import preview

    for number, (spot, image) in enumerate(shown):
        place = spot.to_name, spot.item_index
        result = labeled.prediction["result"]
        regions = [region for region in result if (region["to_name"], region.get("item_index")) == place]
        preview.write(folder, key, number, image, regions)


def _read(path: Path, most: int) -> bytes:
    """The file.

    Raises:
        ImageTooLargeError: it has more than so many bytes.
        ImageUnavailableError: it cannot be read.
    """
    try:
        size = path.stat().st_size
        if size <= most:
            return path.read_bytes()
    except OSError as error:
        raise ImageUnavailableError(f"{path} cannot be read: {error.strerror}.", "Check the file.") from None
    raise ImageTooLargeError(f"{path} has {size} bytes, more than {most}.", "Raise SAM_MAX_IMAGE_BYTES.")
