"""Where small things outlive a restart and replicas share them: Redis if there is one, else a folder, else nowhere."""

from sam_backend.cache.disk import DiskCache
from sam_backend.cache.embeddings import open_redis
from sam_backend.cache.redis_store import RedisStore
from sam_backend.errors import SettingError
from sam_backend.settings import Settings

_FOLDER = "state"
_MOST_BYTES = 64 * 1024**2


def open_state(settings: Settings) -> RedisStore | DiskCache | None:
    """The place, which only this user may read where it is a folder: tokens of Label Studio are among what is kept.

    Raises:
        SettingError: the folder cannot be made, or the address is not one of Redis.
    """
    redis = open_redis(settings)
    if redis or settings.cache_dir is None:
        return redis
    folder = settings.cache_dir / _FOLDER
    try:
        store = DiskCache(folder, _MOST_BYTES)
        folder.chmod(0o700)
    except OSError as error:
        raise SettingError(
            f"SAM_CACHE_DIR = {str(settings.cache_dir)!r}: the folder cannot be made: {error.strerror}.",
            "Name one that can be written, or none.",
        ) from None
    return store
