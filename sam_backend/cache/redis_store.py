"""Bytes by key in Redis, which replicas on several machines share, and leases: who makes a value that nobody has yet.

Whatever goes wrong is a miss (`redis_link`).
"""

import contextlib
import functools
import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from sam_backend.cache import frame
from sam_backend.cache.frame import BrokenEntryError, Part
from sam_backend.cache.redis_link import RedisLink

if TYPE_CHECKING:
    from redis.lock import Lock

LEASE_SECONDS = 10.0
"""A lease ends so long after its holder was last alive."""

PATIENCE_SECONDS = 30.0
"""How long one waits for another's value before one makes it, too."""

_PREFIX = "sam-backend:"


class RedisStore:
    """Keeps entries for some time after they were last asked for. Threads, processes and machines share it.

    Args:
        link: the connections.
        seconds: how long an entry is kept.
    """

    name = RedisLink.name

    def __init__(self, link: RedisLink, seconds: int) -> None:
        self._link = link
        self._seconds = seconds

    def get(self, key: str) -> memoryview | None:
        """What was put under `key`, byte for byte, kept anew; or None."""
        return self._unsealed(key, self._link.ask("read", lambda redis: redis.getex(_name(key), ex=self._seconds)))

    def put(self, key: str, value: Sequence[Part]) -> None:
        """Keep a value, given in parts that stand one after the other."""
        entry = b"".join(frame.seal(key, value))
        self._link.ask("write", lambda redis: redis.set(_name(key), entry, ex=self._seconds))

    def change(self, key: str, change: Callable[[memoryview | None], bytes]) -> bool:
        """Put what `change` makes of what is there, which nobody else changes meanwhile.

        Args:
            key: what it is kept under.
            change: gets what was put, or None; it may be asked more than once.

        Returns:
            Whether it was put.
        """
        name = _name(key)

        def attempt(pipe: Any) -> None:
            entry = b"".join(frame.seal(key, [change(self._unsealed(key, pipe.get(name)))]))
            pipe.multi()
            pipe.set(name, entry, ex=self._seconds)

        return self._link.ask("write", lambda redis: redis.transaction(attempt, name)) is not None

    def discard(self, key: str, cause: object) -> None:
        """Remove an entry that is of no use; `cause` says why."""
        self._link.faults.note("broken", f"{_name(key)} is not used, {cause}")
        self._link.ask("write", lambda redis: redis.delete(_name(key)))

    def lease(self, key: str) -> "Lease | None":
        """The right to make the value of `key`, once nobody else has it; None where Redis cannot say."""
        found = self._link.ask("lock", lambda redis: _acquired(redis, f"{_name(key)}:lease"))
        return Lease(found, self._link) if found else None

    def is_there(self) -> bool:
        """Whether Redis answers."""
        return self._link.is_there()

    def _unsealed(self, key: str, entry: Any) -> memoryview | None:
        if entry is None:
            return None
        try:
            return frame.unseal(key, cast("bytes", entry))
        except BrokenEntryError as error:
            self.discard(key, error)
            return None


class Lease:
    """Held until it is released; a thread of its own says that its holder lives."""

    def __init__(self, lock: "Lock", link: RedisLink) -> None:
        self._lock = lock
        self._link = link
        self._over = threading.Event()
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def release(self) -> None:
        """Let the next one have it; only the first call counts."""
        if not self._over.is_set():
            self._over.set()
            self._link.ask("lock", functools.partial(_if_held, self._lock.release))

    def _keep(self) -> None:
        while not self._over.wait(LEASE_SECONDS / 3):
            self._link.ask("lock", functools.partial(_if_held, self._lock.reacquire))


def _acquired(redis: Any, name: str) -> "Lock | None":
    lock: Lock = redis.lock(name, timeout=LEASE_SECONDS, sleep=0.05, thread_local=False)
    return lock if lock.acquire(blocking_timeout=PATIENCE_SECONDS) else None


def _if_held(action: Callable[[], object], _: object) -> None:
    """A lease that ended before, because its holder paused too long, is another's: two may make a value then."""
    from redis.exceptions import LockError

    with contextlib.suppress(LockError):
        action()


def _name(key: str) -> str:
    return f"{_PREFIX}{hashlib.sha256(key.encode()).hexdigest()}"
