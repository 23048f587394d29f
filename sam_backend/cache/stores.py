"""The places for bytes that the settings name: folders of `SAM_CACHE_DIR`, and the Redis of `SAM_REDIS_URL`."""

from pathlib import Path

from sam_backend.cache.disk import DiskCache
from sam_backend.cache.redis_link import RedisLink
from sam_backend.cache.redis_store import RedisStore
from sam_backend.errors import SettingError
from sam_backend.settings import Settings

_STATE_BYTES = 64 * 1024**2


def open_link(settings: Settings) -> RedisLink | None:
    """The connections to Redis, which need not answer now; None if the settings name none.

    Raises:
        SettingError: the address is not one of Redis, or its library is not installed.
    """
    url = settings.redis_url.get_secret_value()
    if not url:
        return None
    try:
        return RedisLink(url)
    except ValueError as error:  # it may name the address, which may have a password in it
        reason = str(error).replace(url, "the address")
        raise SettingError(
            f"SAM_REDIS_URL is not an address of Redis: {reason}.", "Give redis://HOST:6379/0, rediss:// or unix://."
        ) from None
    except ModuleNotFoundError:
        raise SettingError("SAM_REDIS_URL needs Redis' library.", "Run: pip install redis.") from None


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


def open_state(settings: Settings, link: RedisLink | None, name: str, seconds: int) -> RedisStore | DiskCache | None:
    """Where small things outlive a restart and replicas share them: Redis if there is one, else a folder, else nowhere.

    Args:
        settings: `SAM_CACHE_DIR` is looked for there.
        link: the connections to Redis, or None.
        name: of the folder, which only this user may read: it may have Label Studio's tokens in it.
        seconds: how long Redis keeps a thing.

    Raises:
        SettingError: the folder cannot be made.
    """
    if link:
        return RedisStore(link, seconds)
    return open_folder(settings.cache_dir, name, _STATE_BYTES, 0o700) if settings.cache_dir else None
