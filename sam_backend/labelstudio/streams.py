"""The RLE streams of a request, left as they stand in its text until somebody looks into them.

A task carries the regions of everybody who worked on it: megabytes of numbers, of which a click needs few. So before
the JSON is parsed, each list of numbers named "rle" is lifted out of it, and comes back as a `Stream`. The next click
on the task carries the same streams again: those that were read are remembered, and known again by their bytes.

Only what can be nothing but a list of integers is lifted: `"rle"` as a whole key, then digits with a comma between
them, or a comma and a space. Whatever else a list may be is left to the parser.
"""

import re
import secrets
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from sam_backend.cache.memory import MemoryCache
from sam_backend.labelstudio import rle
from sam_backend.sam.patch import Patch, Size

_NAME = b'"rle"'
_OPENING = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*\[")
_BUDGET = 96 * 1024**2
_SAMPLE = 48
_PIXELS_FACTOR = 2
"""The mask of a stream takes no more memory than its text: a run of three bytes of text has two edges at most."""


class Stream:
    """A list of integers, one at least, as it stands in JSON.

    Threads share it. `plain` is what it is when it goes out again.
    """

    __hash__ = None  # type: ignore[assignment] # it equals lists, which have none

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._length = text.count(b",") + 1
        self._read: tuple[Size, Patch, tuple[int, int, int, int]] | None = None

    @property
    def text(self) -> bytes:
        """What stands between the brackets."""
        return self._text

    @property
    def nbytes(self) -> int:
        """Bytes that it occupies, with its mask."""
        return _PIXELS_FACTOR * len(self._text)

    def __len__(self) -> int:
        """How many numbers there are."""
        return self._length

    def __eq__(self, other: object) -> bool:
        """Whether the numbers are the same."""
        if isinstance(other, Stream):
            return self is other or self._text.replace(b" ", b"") == other.text.replace(b" ", b"")
        return self.numbers() == other

    def numbers(self) -> list[Any]:
        """The list, as the parser reads it."""
        return orjson.loads(b"[" + self._text + b"]")  # type: ignore[no-any-return]

    def patch(self, size: Size) -> Patch:
        """As `rle.read`, once for each size in a row.

        Raises:
            ValueError: as `rle.read`.
        """
        return self._known(size)[1]

    def rectangle(self, size: Size) -> tuple[int, int, int, int]:
        """That of the patch.

        Raises:
            ValueError: as `rle.read`.
        """
        return self._known(size)[2]

    def _known(self, size: Size) -> tuple[Size, Patch, tuple[int, int, int, int]]:
        known = self._read
        if known is None or known[0] != size:
            patch = rle.read(self.numbers(), size)
            self._read = known = (size, patch, patch.rectangle)
        return known


def patch(stream: Stream | list[int], size: Size) -> Patch:
    """As `rle.read`, of either form."""
    return stream.patch(size) if isinstance(stream, Stream) else rle.read(stream, size)


def plain(value: object) -> orjson.Fragment:
    """A stream as JSON: the `default` of `orjson.dumps`.

    Raises:
        TypeError: the value is no stream.
    """
    if isinstance(value, Stream):
        return orjson.Fragment(b"[" + value.text + b"]")
    raise TypeError(f"{type(value).__name__} is not JSON")


class Streams:
    """Reads JSON, and remembers its streams, the latest of them. Threads share it."""

    def __init__(self) -> None:
        self._known: MemoryCache[tuple[int, bytes, bytes], Stream] = MemoryCache(_BUDGET)
        self._mark = secrets.token_hex(16)  # stands for a stream where no text of a request can

    def loads(self, data: bytes) -> Any:
        """What `orjson.loads` returns, with a `Stream` for each plain list of integers under the key "rle".

        Raises:
            orjson.JSONDecodeError: this is no JSON.
        """
        rest, lifted = self._lifted(data)
        if not lifted:
            return orjson.loads(data)
        try:
            document = orjson.loads(rest)
        except orjson.JSONDecodeError:
            return orjson.loads(data)  # to say where the mistake is
        self._put_back(document, lifted)
        return document

    def _lifted(self, data: bytes) -> tuple[bytes, list[Stream]]:
        """The text with a string for each stream, and the streams."""
        pieces: list[bytes] = []
        lifted: list[Stream] = []
        done = 0
        for begin, end in _lists(data):
            stream = self._stream(data, begin, end)
            if stream:
                pieces += [data[done : begin - 1], f'"{self._mark}{len(lifted)}"'.encode()]
                lifted.append(stream)
                done = end + 1
        return b"".join([*pieces, data[done:]]), lifted

    def _stream(self, data: bytes, begin: int, end: int) -> Stream | None:
        """What stands there as a stream, the one of that text that is known already; None if it is no such list."""
        key = end - begin, data[begin : begin + _SAMPLE], data[max(begin, end - _SAMPLE) : end]
        known = self._known.get(key)
        if known and data.startswith(known.text, begin):
            return known
        text = data[begin:end]
        if not _is_list(text):
            return None
        stream = Stream(text)
        self._known.put(key, stream)
        return stream

    def _put_back(self, document: Any, lifted: list[Stream]) -> None:
        """Put the streams where they were, in place."""
        left = [document]
        while left:
            node = left.pop()
            if isinstance(node, dict):
                text = node.get("rle")
                if isinstance(text, str) and text.startswith(self._mark):
                    node["rle"] = lifted[int(text[len(self._mark) :])]
            left += [child for child in (node.values() if isinstance(node, dict) else node) if type(child) in _NODES]


_NODES = {dict, list}


def _lists(data: bytes) -> Iterator[tuple[int, int]]:
    """Where lists of numbers named "rle" may be: behind an opening bracket, and at the first closing one behind it.

    Nothing is looked at more than a few times, whatever the text is.
    """
    at, end = data.find(_NAME), 0
    while at >= 0:
        behind = at + len(_NAME)
        opening = _OPENING.match(data, behind)
        if opening and data[at - 1 : at] != b"\\":  # else the name goes on to the left
            begin = opening.end()
            end = end if end >= begin else data.find(b"]", begin)
            if end < 0:
                return
            if data.find(b'"', begin, end) < 0:
                yield begin, end
                behind = end
        at = data.find(_NAME, behind)


def _is_list(text: bytes) -> bool:
    """Whether these are integers as JSON writes them, without signs, parted by a comma or a comma and a space."""
    codes = np.frombuffer(text, np.uint8)
    digit, comma = codes - np.uint8(ord("0")) < 10, codes == ord(",")
    fits = digit.copy()
    fits[1:] |= comma[1:] & digit[:-1] | (codes[1:] == ord(" ")) & comma[:-1]
    if not codes.size or not digit[-1] or not fits.all():
        return False
    begins = digit.copy()
    begins[1:] &= ~digit[:-1]
    return not (begins[:-1] & digit[1:] & (codes[:-1] == ord("0"))).any()
