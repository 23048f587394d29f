"""Where small things outlive a restart and replicas share them: Redis if there is one, else a folder, else nowhere."""

from sam_backend.cache.disk import DiskCache
from sam_backend.cache.embeddings import open_folder, open_redis
from sam_backend.cache.redis_store import RedisStore
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
    return open_folder(settings.cache_dir, _FOLDER, _MOST_BYTES, 0o700)
