"""Whose image is encoded first: a click's, then that of a task that was opened, then those that may be opened next.

OpenVINO encodes one image after the other, and each takes seconds. So who waits for one does not wait for another that
is less urgent: that one is broken off, within a layer of the network, and begins anew when nothing more urgent is left.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

from sam_backend.errors import ModelError

if TYPE_CHECKING:
    import openvino

Value = TypeVar("Value")


class Urgency(IntEnum):
    """Why an image is encoded, the most urgent reason first."""

    CLICK = 0
    OPENED = 1
    LATER = 2


@dataclass(eq=False, slots=True)
class Request:
    """An InferRequest that can be broken off, before it runs too.

    Attributes:
        request: OpenVINO's.
        broken: it has been, and may fail.
    """

    request: "openvino.InferRequest"
    broken: bool = False

    def infer(self, inputs: Any, **options: Any) -> None:
        """Run it, with OpenVINO's options.

        Raises:
            RuntimeError: OpenVINO failed, or it was broken off.
        """
        if self.broken:
            raise RuntimeError("It was broken off.")
        self.request.infer(inputs, **options)

    def get_tensor(self, name: str) -> Any:
        """An output."""
        return self.request.get_tensor(name)

    def break_off(self) -> None:
        """End it soon; where a device cannot, it runs on."""
        self.broken = True
        with contextlib.suppress(RuntimeError):
            self.request.cancel()


@dataclass(eq=False, slots=True)
class _Turn:
    key: str
    urgency: Urgency
    request: Request | None = None


class Turns:
    """The encodes of one model. Threads share it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._turns: set[_Turn] = set()
        self._claims: set[_Turn] = set()
        self._closed = False

    def close(self) -> None:
        """Break off all that nobody waits for, for good: a process must not end beneath it."""
        with self._changed:
            self._closed = True
            self._make_way(Urgency.CLICK)
            self._changed.notify_all()

    @contextmanager
    def claim(self, key: str, urgency: Urgency) -> Iterator[None]:
        """While inside, whoever encodes this image, or comes to, does it for one to whom it is so urgent."""
        claim = _Turn(key, urgency)
        with self._changed:
            self._claims.add(claim)
            if any(turn.key == key for turn in self._turns):
                self._make_way(urgency)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._claims.discard(claim)

    def take(
        self, key: str, urgency: Urgency, new: "Callable[[], openvino.InferRequest]", run: Callable[[Request], Value]
    ) -> Value:
        """Encode when nothing more urgent is encoded, and anew after something more urgent came.

        Args:
            key: of the image.
            urgency: how urgent it is without any `claim`.
            new: makes a request.
            run: encodes with it.

        Raises:
            ModelError: OpenVINO failed, or this was closed and it is not urgent.
        """
        turn = _Turn(key, urgency)
        try:
            while True:
                request = self._begin(turn, new)
                try:
                    return run(request)
                except ModelError:
                    if not request.broken:
                        raise
        finally:
            with self._changed:
                self._turns.discard(turn)
                self._changed.notify_all()

    def _begin(self, turn: _Turn, new: "Callable[[], openvino.InferRequest]") -> Request:
        with self._changed:
            turn.request = None
            self._turns.add(turn)
            self._changed.wait_for(lambda: self._closed or self._is_first(turn))
            urgency = self._urgency(turn)
            if self._closed and urgency > Urgency.CLICK:
                raise ModelError("The service stops.")
            self._make_way(urgency)
            turn.request = Request(new())
            return turn.request

    def _urgency(self, turn: _Turn) -> Urgency:
        return min(one.urgency for one in (turn, *self._claims) if one.key == turn.key)

    def _is_first(self, turn: _Turn) -> bool:
        urgency = self._urgency(turn)
        return all(urgency <= self._urgency(other) for other in self._turns)

    def _make_way(self, urgency: Urgency) -> None:
        for other in self._turns:
            if other.request and self._urgency(other) > urgency:
                other.request.break_off()
