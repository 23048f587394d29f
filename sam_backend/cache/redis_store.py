"""Bytes by key in Redis, which replicas on several machines share, and leases: who makes a value that nobody has yet.

Whatever goes wrong is counted, said once in a while, and a miss. A Redis that does not answer is left alone for some
seconds, so that nobody who waits for a mask waits for it again and again; then it is asked anew.
"""

import contextlib
import functools
import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from sam_backend.cache import frame
from sam_backend.cache.faults import Faults
from sam_backend.cache.frame import BrokenEntryError, Part

if TYPE_CHECKING:
    from redis.lock import Lock

Answer = TypeVar("Answer")

ANSWER_SECONDS = 1.0
"""How long Redis may take to accept a connection, and between two pieces of an answer."""

REST_SECONDS = 5.0
"""How long a Redis that failed is left alone."""

LEASE_SECONDS = 10.0
"""A lease ends so long after its holder was last alive."""

PATIENCE_SECONDS = 30.0
"""How long one waits for another's value before one makes it, too."""

_PREFIX = "sam-backend:"


class RedisStore:
    """Keeps entries for some time after they were last asked for. Threads, processes and machines share it.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        seconds: how long an entry is kept.

    Raises:
        ValueError: the address is not one of Redis.
    """

    name = "redis"

    def __init__(self, url: str, seconds: int) -> None:
        from redis import Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        # One new connection where a kept one was cut; more attempts are the next caller's.
        self._redis = Redis.from_url(
            url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        self._seconds = seconds
        self._faults = Faults(self.name)
        self._rests_until = 0.0

    def get(self, key: str) -> memoryview | None:
        """What was put under `key`, byte for byte, kept anew; or None."""
        entry = self._ask("read", lambda: cast("bytes | None", self._redis.getex(_name(key), ex=self._seconds)))
        if entry is None:
            return None
        try:
            return frame.unseal(key, entry)
        except BrokenEntryError as error:
            self.discard(key, error)
            return None

    def put(self, key: str, value: Sequence[Part]) -> None:
        """Keep a value, given in parts that stand one after the other."""
        entry = b"".join(frame.seal(key, value))
        self._ask("write", lambda: self._redis.set(_name(key), entry, ex=self._seconds))

    def discard(self, key: str, cause: object) -> None:
        """Remove an entry that is of no use; `cause` says why."""
        self._faults.note("broken", f"{_name(key)} is not used, {cause}")
        self._ask("write", lambda: self._redis.delete(_name(key)))

    def lease(self, key: str) -> "Lease | None":
        """The right to make the value of `key`, once nobody else has it; None where Redis cannot say."""
        lock = self._redis.lock(f"{_name(key)}:lease", timeout=LEASE_SECONDS, sleep=0.05, thread_local=False)
        if not self._ask("lock", lambda: lock.acquire(blocking_timeout=PATIENCE_SECONDS)):
            return None
        return Lease(lock, self._ask)

    def is_there(self) -> bool:
        """Whether Redis answers."""
        return bool(self._ask("read", self._redis.ping))

    def _ask(self, kind: str, question: Callable[[], Answer]) -> Answer | None:
        from redis.exceptions import RedisError

        if time.monotonic() < self._rests_until:
            return None
        try:
            return question()
        except (RedisError, OSError) as error:
            self._rests_until = time.monotonic() + REST_SECONDS
            self._faults.note(kind, error)
            return None


class Lease:
    """Held until it is released; a thread of its own says that its holder lives."""

    def __init__(self, lock: "Lock", ask: Callable[[str, Callable[[], object]], object]) -> None:
        self._lock = lock
        self._ask = ask
        self._over = threading.Event()
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def release(self) -> None:
        """Let the next one have it; only the first call counts."""
        if not self._over.is_set():
            self._over.set()
            self._ask("lock", functools.partial(_if_held, self._lock.release))

    def _keep(self) -> None:
        while not self._over.wait(LEASE_SECONDS / 3):
            self._ask("lock", functools.partial(_if_held, self._lock.reacquire))


def _if_held(action: Callable[[], object]) -> None:
    """A lease that ended before, because its holder paused too long, is another's: two may make a value then."""
    from redis.exceptions import LockError

    with contextlib.suppress(LockError):
        action()


def _name(key: str) -> str:
    return f"{_PREFIX}{hashlib.sha256(key.encode()).hexdigest()}"
