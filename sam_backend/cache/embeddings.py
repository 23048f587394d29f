"""The tiers of the embeddings, as the settings want them."""

import json
from collections.abc import Sequence
from typing import Protocol

from sam_backend.cache.disk import DiskCache
from sam_backend.cache.memory import MemoryCache
from sam_backend.cache.tiers import Store, Tiers
from sam_backend.errors import SettingError
from sam_backend.sam import geometry, packed
from sam_backend.sam.types import Embedding
from sam_backend.settings import Settings

_FOLDER = "embeddings"


def key(digest: str, model: Sequence[str]) -> str:
    """What an embedding is kept under: equal keys mean equal embeddings.

    Args:
        digest: of the upright image's pixels.
        model: all that tells the model from others.
    """
    return json.dumps([digest, *model, geometry.PREPROCESSING, packed.FORMAT])


def open_tiers(settings: Settings) -> Tiers[Embedding]:
    """Memory, and the folder that `SAM_CACHE_DIR` names, if it names one.

    Raises:
        SettingError: the folder cannot be made.
    """
    stores: list[Store[Embedding]] = []
    if settings.cache_dir is not None:
        try:
            stores.append(Packed(DiskCache(settings.cache_dir / _FOLDER, settings.disk_cache)))
        except OSError as error:
            raise SettingError(
                f"SAM_CACHE_DIR = {str(settings.cache_dir)!r}: the folder cannot be made: {error.strerror}.",
                "Name one that can be written, or none.",
            ) from None
    return Tiers(MemoryCache(settings.memory_cache), stores)


class Bytes(Protocol):
    """A store of bytes, such as a folder."""

    name: str

    def get(self, key: str) -> memoryview | None:
        """What was put, byte for byte, or None."""

    def put(self, key: str, value: Sequence[bytes | memoryview]) -> None:
        """Keep the parts of a value."""

    def discard(self, key: str, cause: object) -> None:
        """Remove an entry."""


class Packed:
    """Embeddings in a store of bytes."""

    def __init__(self, store: Bytes) -> None:
        self.name = store.name
        self._store = store

    def get(self, key: str) -> Embedding | None:
        """The embedding, exactly as it was put, or None."""
        data = self._store.get(key)
        if data is None:
            return None
        try:
            return packed.unpack(data)
        except ValueError as error:
            self._store.discard(key, error)
            return None

    def put(self, key: str, value: Embedding) -> None:
        """Keep the embedding if possible."""
        self._store.put(key, packed.pack(value))
