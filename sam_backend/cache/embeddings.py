"""The tiers of the embeddings, as the settings want them."""

import json
from collections.abc import Sequence
from typing import Protocol

from sam_backend.cache.memory import MemoryCache
from sam_backend.cache.redis_link import RedisLink
from sam_backend.cache.redis_store import RedisStore
from sam_backend.cache.stores import open_folder
from sam_backend.cache.tiers import Store, Tiers
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


def open_tiers(settings: Settings, link: RedisLink | None) -> Tiers[Embedding]:
    """Memory, the folder that `SAM_CACHE_DIR` names, and Redis, if there is one.

    Raises:
        SettingError: the folder cannot be made.
    """
    stores: list[Store[Embedding]] = []
    if settings.cache_dir is not None:
        stores.append(Packed(open_folder(settings.cache_dir, _FOLDER, settings.disk_cache)))
    memory: MemoryCache[str, Embedding] = MemoryCache(settings.memory_cache)
    if link is None:
        return Tiers(memory, stores)
    redis = RedisStore(link, settings.redis_seconds)
    return Tiers(memory, [*stores, Packed(redis)], redis.lease)


class Bytes(Protocol):
    """A store of bytes, such as a folder."""

    name: str

    def get(self, key: str) -> memoryview | None:
        """What was put, byte for byte, or None."""

    def put(self, key: str, value: Sequence[bytes | memoryview]) -> None:
        """Keep the parts of a value."""

    def discard(self, key: str, cause: object) -> None:
        """Remove an entry."""

    def is_there(self) -> bool:
        """Whether it takes and gives values now."""


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

    def is_there(self) -> bool:
        """Whether the store takes and gives values now."""
        return self._store.is_there()
