"""Values by key that a restart and other replicas find again: in memory, and on a shelf that they share.

Each value has a moment, later than that of the one from which it was made, whatever the replicas' clocks say. The
latest counts: while the shelf is gone memory goes on alone; what it noted then is put on the shelf when that is back.
"""

import math
import struct
import threading
import time
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

import orjson
from cachetools import TTLCache
from pydantic import TypeAdapter

Value = TypeVar("Value")

_MOMENT = struct.Struct("<d")  # stands before a value's JSON: a value that memory has is not read again


class Shelf(Protocol):
    """Where bytes outlive the process or are shared. It never raises: what it cannot do is a miss."""

    def get(self, key: str) -> memoryview | None:
        """What was put, byte for byte, or None."""

    def change(self, key: str, change: Callable[[memoryview | None], bytes]) -> bool:
        """Put what `change` makes of what is there, which nobody else changes meanwhile; False: it was not put."""


class _Note(NamedTuple, Generic[Value]):
    at: float
    value: Value


class Notes(Generic[Value]):
    """Threads share it; in memory, what was noted longest ago goes first.

    Args:
        kind: what tells these notes from others on the same shelf.
        form: the values' type, which orjson writes and pydantic reads.
        shelf: where replicas and a restart look; None: nowhere.
        seconds: how long memory keeps a value.
        weigh: how much of `most` a value takes.
        most: values in memory, or what they may weigh together there.
        clock: seconds, roughly the same in all replicas.
    """

    def __init__(
        self,
        kind: str,
        form: type[Value],
        shelf: Shelf | None = None,
        *,
        seconds: float = math.inf,
        most: int = 1000,
        weigh: Callable[[Value], int] = lambda _: 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._kind = kind
        self._form = TypeAdapter(form)
        self._shelf = shelf
        self._clock = clock
        self._lock = threading.RLock()
        self._notes: TTLCache[str, _Note[Value]] = TTLCache(most, seconds, clock, lambda note: weigh(note.value))

    def get(self, key: str) -> Value | None:
        """The latest value, or None."""
        here = self._here(key)
        if self._shelf is None:
            return here.value if here else None
        there = self._read(self._shelf.get(self._name(key)), here)
        if here and (there is None or there.at < here.at):
            self._put_back(self._shelf, key, here)
            return here.value
        return self._keep(key, there).value if there else None

    def change(self, key: str, change: Callable[[Value | None], Value]) -> Value:
        """Note what `change` makes of the latest value, or of None; it may be asked more than once."""
        made: list[_Note[Value]] = []

        def changed(data: memoryview | None) -> bytes:
            here = self._here(key)
            made.append(self._next(_latest(self._read(data, here), here), change))
            return _packed(made[-1])

        if self._shelf and self._shelf.change(self._name(key), changed):
            return self._keep(key, made[-1]).value
        with self._lock:
            return self._keep(key, self._next(self._here(key), change)).value

    def _next(self, base: _Note[Value] | None, change: Callable[[Value | None], Value]) -> _Note[Value]:
        if base is None:
            return _Note(self._clock(), change(None))
        return _Note(max(self._clock(), math.nextafter(base.at, math.inf)), change(base.value))

    def _put_back(self, shelf: Shelf, key: str, note: _Note[Value]) -> None:
        """On the shelf, which was gone when it was made."""
        shelf.change(self._name(key), lambda data: _packed(_latest(self._read(data, note), note) or note))

    def _here(self, key: str) -> _Note[Value] | None:
        with self._lock:
            return self._notes.get(key)

    def _keep(self, key: str, note: _Note[Value]) -> _Note[Value]:
        """Have it in memory, unless a later one is there."""
        with self._lock:
            self._notes[key] = _latest(note, self._notes.get(key)) or note
        return note

    def _read(self, data: memoryview | None, here: _Note[Value] | None) -> _Note[Value] | None:
        """What was noted, `here` if that is it; None where it is something else, such as another version's."""
        if data is None or len(data) < _MOMENT.size:
            return None
        [at] = _MOMENT.unpack_from(data)
        if here and here.at == at:
            return here
        try:
            return _Note(at, self._form.validate_python(orjson.loads(data[_MOMENT.size :])))
        except ValueError:
            return None

    def _name(self, key: str) -> str:
        return f"{self._kind} {key}"


def _packed(note: _Note[Value]) -> bytes:
    return _MOMENT.pack(note.at) + orjson.dumps(note.value, default=list)


def _latest(one: _Note[Value] | None, other: _Note[Value] | None) -> _Note[Value] | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda note: note.at)
