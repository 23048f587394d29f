"""Work that nobody waits for, in order, in one thread; at the end of the process it is done before it ends."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

logger = logging.getLogger(__name__)


class Aside:
    """Does what it is given soon. The thread starts with the first piece of work."""

    def __init__(self, name: str, most: int) -> None:
        self._pool = ThreadPoolExecutor(1, name)
        self._free = threading.BoundedSemaphore(most)

    def add(self, work: Callable[[], object]) -> bool:
        """Queue a piece of work; False, and nothing is queued, when too much waits already."""
        if not self._free.acquire(blocking=False):
            return False
        try:
            self._pool.submit(work).add_done_callback(self._done)
        except RuntimeError:  # the process ends
            self._free.release()
            return False
        return True

    def flush(self) -> None:
        """Wait until all that was queued before is done."""
        self._pool.submit(lambda: None).result()

    def _done(self, future: Future[object]) -> None:
        self._free.release()
        error = future.exception()
        if error:
            logger.error("Work aside failed: a bug; please report it with this traceback.", exc_info=error)
