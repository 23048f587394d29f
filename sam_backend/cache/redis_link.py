"""The connections to one Redis. Whatever goes wrong is counted, said once in a while, and None.

A Redis that does not answer is left alone for some seconds, so that nobody who waits for a mask waits for it again and
again; then it is asked anew.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from sam_backend.cache.faults import Faults

if TYPE_CHECKING:
    from redis import Redis

Answer = TypeVar("Answer")

ANSWER_SECONDS = 1.0
"""How long Redis may take to accept a connection, and between two pieces of an answer."""

REST_SECONDS = 5.0
"""How long a Redis that failed is left alone."""


class RedisLink:
    """Asks Redis. Threads share it.

    Args:
        url: `redis://`, `rediss://` or `unix://`.

    Raises:
        ValueError: the address is not one of Redis.
        ModuleNotFoundError: Redis' library is not installed.
    """

    name = "redis"

    def __init__(self, url: str) -> None:
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
        self._rests_until = 0.0
        self.faults = Faults(self.name)

    def ask(self, kind: str, question: "Callable[[Redis], Answer]") -> Answer | None:
        """What Redis answers to a question; None where it does not answer, or is left alone.

        Args:
            kind: what a fault of it counts as: `read`, `write` or `lock`.
            question: asks it; it may be asked twice.
        """
        from redis.exceptions import RedisError

        if time.monotonic() < self._rests_until:
            return None
        try:
            return question(self._redis)
        except (RedisError, OSError) as error:
            self._rests_until = time.monotonic() + REST_SECONDS
            self.faults.note(kind, error)
            return None

    def is_there(self) -> bool:
        """Whether Redis answers."""
        return bool(self.ask("read", lambda redis: redis.ping()))
