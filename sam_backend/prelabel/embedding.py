"""A task's images into the persistent cache, and no masks."""

from collections.abc import Callable

import orjson

from sam_backend.errors import OutputError
from sam_backend.labelstudio.config import LabelConfig
from sam_backend.labelstudio.tasks import image_urls
from sam_backend.prelabel.types import Item, Outcome
from sam_backend.sam.types import Image
from sam_backend.segmenter import Segmenter


def embed(segmenter: Segmenter, image_of: Callable[[str], Image], item: Item, label_config: LabelConfig) -> Outcome:
    """See that the embedding of each of a task's images outlives this process.

    Returns:
        An outcome whose prediction is JSON of `{"encoded": N, "stored": N}`: how many images were encoded now, and of
        how many the embedding was there.

    Raises:
        ImageError: an image could not be had or read.
        ModelError: OpenVINO failed.
        OutputError: an embedding could not be kept.
    """
    counts = {"encoded": 0, "stored": 0}
    for url in image_urls(item.task, label_config):
        image = image_of(url)
        if segmenter.is_stored(image):
            counts["stored"] += 1
            continue
        segmenter.embed(image)
        segmenter.flush()
        if not segmenter.is_stored(image):
            raise OutputError("The embedding is not in SAM_CACHE_DIR.", "Look for its reason in the log.")
        counts["encoded"] += 1
    return Outcome(item, orjson.dumps(counts))
