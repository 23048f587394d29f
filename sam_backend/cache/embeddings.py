"""The tiers of the embeddings, as the settings want them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sam_backend.cache.disk import DiskCache
from sam_backend.cache.memory import MemoryCache
from sam_backend.cache.redis_store import RedisStore
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
    """Memory, the folder that `SAM_CACHE_DIR` names, and the Redis of `SAM_REDIS_URL`, if they name one.

    Raises:
        SettingError: the folder cannot be made, or the address is not one of Redis.
    """
    stores: list[Store[Embedding]] = []
    if settings.cache_dir is not None:
        stores.append(Packed(open_folder(settings.cache_dir, _FOLDER, settings.disk_cache)))
    memory: MemoryCache[str, Embedding] = MemoryCache(settings.memory_cache)
    redis = open_redis(settings)
    if redis is None:
        return Tiers(memory, stores)
    return Tiers(memory, [*stores, Packed(redis)], redis.lease)


def open_folder(cache_dir: Path, name: str, max_bytes: int, mode: int | None = None) -> DiskCache:
    """A folder of `SAM_CACHE_DIR`, with these permissions or the usual ones.

    Raises:
        SettingError: the folder cannot be made.
    """
    folder = cache_dir / name
    try:
        store = DiskCache(folder, max_bytes)
        if mode is not None:
            folder.chmod(mode)
    except OSError as error:
        raise SettingError(
            f"SAM_CACHE_DIR = {str(cache_dir)!r}: the folder cannot be made: {error.strerror}.",
            "Name one that can be written, or none.",
        ) from None
    return store


def open_redis(settings: Settings) -> RedisStore | None:
    """The Redis of `SAM_REDIS_URL`, which need not answer now; None if there is none.

    Raises:
        SettingError: the address is not one of Redis, or its library is not installed.
    """
    url = settings.redis_url.get_secret_value()
    if not url:
        return None
    try:
        return RedisStore(url, settings.redis_seconds)
    except ValueError as error:  # it may name the address, which may have a password in it
        reason = str(error).replace(url, "the address")
        raise SettingError(
            f"SAM_REDIS_URL is not an address of Redis: {reason}.", "Give redis://HOST:6379/0, rediss:// or unix://."
        ) from None
    except ModuleNotFoundError:
        raise SettingError("SAM_REDIS_URL needs Redis' library.", "Run: pip install redis.") from None


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
