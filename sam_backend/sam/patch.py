"""A mask as its runs: what costs time and memory is its outline, not the image that it lies in."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
Bitmap = NDArray[np.bool_]
Numbers = NDArray[np.int64]

_WORD = 8


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A mask at the original size.

    Pixels are counted row by row, from 0 to H·W. A run may go on in the next row.

    Attributes:
        edges: int64 (2N,), ascending, no two equal: by turns the first pixel of a run of the mask, and the one behind
            its last.
        original_size: (H, W) of the image.
    """

    edges: Numbers
    original_size: Size

    @classmethod
    def of(cls, bitmap: Bitmap, left: int = 0, top: int = 0, original_size: Size | None = None) -> Self:
        """Keep a mask, bool (h, w), that lies at (left, top) in an image of `original_size`; None: it is all of it."""
        size = bitmap.shape[0], bitmap.shape[1]
        patch = cls.at_changes(_changes(bitmap.ravel()) if bitmap.size else np.zeros(0, np.int64), size)
        return patch if original_size in (None, size) else patch.moved(left, top, original_size)

    @classmethod
    def at_changes(cls, at: Numbers, size: Size) -> Self:
        """A mask from the pixels at which inside and outside take turns, ascending, the first of them inside.

        Two changes at one pixel are none. After an odd number of them, the last run ends with the image.
        """
        if at.size % 2:
            at = np.append(at, size[0] * size[1])
        same = at[1:] == at[:-1]
        if same.any():
            found, counts = np.unique(at, return_counts=True)
            at = found[counts % 2 == 1]
        return cls(at, size)

    @property
    def is_empty(self) -> bool:
        """Whether no pixel is inside."""
        return not self.edges.size

    @property
    def area(self) -> int:
        """How many pixels are inside."""
        return int((self.edges[1::2] - self.edges[::2]).sum())

    @property
    def rectangle(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in original pixels, the smallest that holds the mask.

        Right and bottom are behind the last pixel. (0, 0, 0, 0) for an empty mask.
        """
        if self.is_empty:
            return 0, 0, 0, 0
        width = self.original_size[1]
        top, bottom = int(self.edges[0]) // width, int(self.edges[-1] - 1) // width + 1
        first, left = np.divmod(self.edges[::2], width)
        last, right = np.divmod(self.edges[1::2] - 1, width)
        if (first != last).any():  # it goes from a row's end to the next one's beginning
            return 0, top, width, bottom
        return int(left.min()), top, int(right.max()) + 1, bottom

    @property
    def extent(self) -> NDArray[np.float64]:
        """The rectangle as float64 (4,), XYXY in original pixels; NaN for an empty mask."""
        return np.full(4, np.nan) if self.is_empty else np.array(self.rectangle, np.float64)

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """XYWH as segment-anything gives it: width and height reach from the first to the last pixel's corner."""
        left, top, right, bottom = self.rectangle
        return left, top, max(0, right - left - 1), max(0, bottom - top - 1)

    @property
    def shown(self) -> Bitmap:
        """The rectangle's pixels, bool (bottom - top, right - left), made anew."""
        left, top, right, bottom = self.rectangle
        return self._seen(left, top, (bottom - top, right - left))

    @property
    def bitmap(self) -> Bitmap:
        """The whole mask, bool (H, W), made anew."""
        return _painted(self.edges, self.original_size)

    def moved(self, left: int, top: int, original_size: Size) -> Self:
        """The mask in an image of `original_size` (H, W), of which its own is a part at (left, top)."""
        rows, begin, end = self.spans()
        at = (rows + top) * original_size[1] + left
        return type(self).at_changes(np.stack([at + begin, at + end], axis=1).ravel(), original_size)

    def rows(self, first: int, last: int) -> Self:
        """What of the mask is in the rows from `first` to before `last`."""
        width = self.original_size[1]
        begin, end = first * width, last * width
        low, high = np.searchsorted(self.edges, [begin, end], side="right")
        inner = self.edges[low:high]
        opened = np.array([begin] if low % 2 else [], np.int64)
        closed = np.array([end] if high % 2 else [], np.int64)
        return type(self).at_changes(np.concatenate([opened, inner, closed]), self.original_size)

    def spans(self) -> tuple[Numbers, Numbers, Numbers]:
        """Its runs, cut at the ends of rows: each one's row, first column, and the column behind the last one."""
        width = self.original_size[1]
        begin, end = self.edges[::2], self.edges[1::2]
        first, last = begin // width, (end - 1) // width
        counts = last - first + 1
        nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = np.repeat(first, counts) + nth
        at = rows * width
        return rows, np.repeat(begin, counts).clip(at) - at, np.repeat(end, counts).clip(max=at + width) - at

    def holds(self, pixels: Numbers) -> Bitmap:
        """Which pixels (N, 2), (x, y), are inside; those beside the image are not. Bool (N,)."""
        height, width = self.original_size
        columns, rows = pixels.T
        there = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        return np.asarray(there & (np.searchsorted(self.edges, rows * width + columns, side="right") % 2 == 1))

    def distance(self, point: NDArray[np.float64]) -> float:
        """How far a point (x, y) is from the nearest pixel, in pixels: 0 on it, infinite for an empty mask."""
        rows, begin, end = self.spans()
        across = np.maximum(begin - point[0], point[0] - end)
        down = np.maximum(rows - point[1], point[1] - rows - 1)
        return float(np.hypot(across.clip(0), down.clip(0)).min(initial=np.inf))

    def _seen(self, left: int, top: int, size: Size) -> Bitmap:
        """The pixels of a rectangle of `size` (h, w) at (left, top) that holds all of the mask."""
        width = self.original_size[1]
        if size[1] == width:
            return _painted(self.edges - top * width, size)
        rows, begin = np.divmod(self.edges[::2], width)
        at = (rows - top) * size[1] + begin - left
        return _painted(np.stack([at, at + self.edges[1::2] - self.edges[::2]], axis=1).ravel(), size)


def _painted(at: Numbers, size: Size) -> Bitmap:
    """Pixels, bool (h, w), that change at some of them, ascending, from outside on."""
    lengths = np.diff(at, prepend=0, append=size[0] * size[1])
    return np.repeat(np.arange(lengths.size) % 2 == 1, lengths).reshape(size)


def _changes(flat: Bitmap) -> Numbers:
    """Where pixels (N,) differ from the one before, as if there were one outside before the first and behind the last.

    Eight pixels at once are compared with the eight before. Where those are equal, nothing changes, unless the eight
    are mixed and repeat.
    """
    count = flat.size // _WORD
    words = flat[: count * _WORD].view(np.uint64)
    new = np.append(np.arange(min(count, 1)), np.flatnonzero(words[1:] != words[:-1]) + 1)
    some = words[new]
    if _is_mixed(some[np.diff(new, append=count) > 1]).any():
        new, some = np.arange(count), words
    rest = np.zeros(_WORD, np.bool_)
    rest[: flat.size % _WORD] = flat[count * _WORD :]
    pixels = np.append(some, rest.view(np.uint64)).view(np.bool_)
    new = np.append(new, count)
    before = np.empty_like(pixels)
    before[1:] = pixels[:-1]
    before[::_WORD] = flat[_WORD * new - 1]
    before[0] = False
    at = np.flatnonzero(pixels != before)
    return np.asarray(_WORD * new[at // _WORD] + at % _WORD)


def _is_mixed(words: NDArray[np.uint64]) -> Bitmap:
    """Which words have pixels inside and outside."""
    inside = np.ones(_WORD, np.bool_).view(np.uint64)
    return np.asarray((words != 0) & (words != inside))
