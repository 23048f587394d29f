"""Who opens one task after the other while somebody else clicks."""

import contextlib
import threading
import time
from collections.abc import Iterator

from benchmarks import clients
from benchmarks.clients import Client
from tests.support.image_host import ImageHost

SECONDS = 6.0
"""That a block of clicks takes at least."""
SIZE, MOST = (600, 800), 12
"""Of the pictures, and how many are opened in a block."""


class Opener:
    """Opens a new picture whenever one is encoded, so that there is always one under way."""

    def __init__(self, client: Client, host: ImageHost, first: int) -> None:
        self.encoded = 0
        self.enough = 0.0
        self._client = client
        # Drawn beforehand: what this process does meanwhile would slow down who clicks.
        self._bodies = [clients.opened(clients.picture(host, SIZE, first + step), SIZE) for step in range(MOST)]
        self._before = client.encodes()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Open the first one; returns when it is under way."""
        self._open()
        self.enough = time.monotonic() + SECONDS
        self._thread.start()
        time.sleep(0.3)

    def stop(self) -> None:
        """Open no more, and wait until the last one is encoded."""
        self._stop.set()
        self._thread.join()

    def _open(self) -> None:
        if self._bodies:
            self._client.send(self._bodies.pop())

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            if self._ended() > self.encoded:
                self.encoded += 1
                self._open()
        end = time.monotonic() + 120
        while self._ended() <= self.encoded and self._bodies and time.monotonic() < end:
            time.sleep(0.1)  # for the last one: what follows shall be quiet
        self.encoded += 1

    def _ended(self) -> int:
        return self._client.encodes() - self._before


@contextlib.contextmanager
def opening(url: str, pid: int, host: ImageHost, first: int) -> Iterator[Opener]:
    """Pictures of their own, from seed `first` on, are opened while inside."""
    opener = Opener(Client(url, pid), host, first)
    opener.start()
    try:
        yield opener
    finally:
        opener.stop()
