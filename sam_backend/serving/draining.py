"""gunicorn's worker with threads, and how it ends: whoever is connected is answered, nobody else is let in."""

import select
import socket

from gunicorn.workers.gthread import ThreadWorker

_MOST_WAITING = 128  # the kernel keeps no more for us


class DrainingWorker(ThreadWorker):
    """Closes the port as soon as it is told to stop.

    gunicorn's own keeps it open until the last answer is sent. The kernel takes connections meanwhile, which nobody
    reads, and which are cut off in the end; refused at once, a balancer asks another replica.
    """

    def set_accept_enabled(self, enabled: bool | None) -> None:  # noqa: FBT001 (gunicorn's)
        """Let clients in, or not now; once the worker ends, never again."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                self._let_in_those_who_wait(listener)
                listener.close()
            self.sockets = []

    def _let_in_those_who_wait(self, listener: socket.socket) -> None:
        for _ in range(_MOST_WAITING):
            if not _is_somebody_there(listener):
                break
            self.accept(listener)

    def is_parent_alive(self) -> bool:
        """Whether the process that began this one lives; without it, this one ends."""
        is_alive = bool(super().is_parent_alive())
        self.alive = self.alive and is_alive
        return is_alive


def _is_somebody_there(listener: socket.socket) -> bool:
    """Whether a client has connected that was not accepted yet."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))
