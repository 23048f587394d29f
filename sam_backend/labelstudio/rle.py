"""Label Studio's run-length encoding of brush masks (thi.ng's rle-pack over RGBA pixels).

A stream has 32 bits for the number of values (H·W·4), 5 for the width of a value less one, four times 4 for the widths
of a length less one, then records: one bit (1 a run, 0 literals), two bits that choose the length's width, the length
less one, then one value for a run or as many as the length says for literals. Most significant bit first.

A mask's value is the same in all four channels, so a run of n pixels is a run of 4·n values and the encoder never looks
at RGBA pixels. Its bytes are those of `label_studio_sdk.converter.brush.mask2rle(mask * 255)`.
"""

import numpy as np
from numpy.typing import NDArray

from sam_backend.sam.types import Size

_WORD_BITS = 8
_LENGTH_BITS = np.array([3, 4, 8, 16], np.int64)
_LONGEST = 1 << 16
_HEADER_BITS = 32 + 5 + 4 * 4
_HEADER_TAIL = 7 << 16 | 0x237F  # value width and the four length widths, each less one


def encode(bitmap: NDArray[np.bool_]) -> list[int]:
    """Encode a mask: inside is 255, outside 0, in all four channels.

    Args:
        bitmap: bool (H, W), at the image's natural size.

    Returns:
        Bytes as ints in 0..255, ready for a region's `rle`.

    Raises:
        ValueError: the bitmap is not boolean, not two-dimensional, empty, or has 2**30 pixels or more.
    """
    if bitmap.dtype != np.bool_ or bitmap.ndim != 2 or not 0 < bitmap.size < 1 << 30:
        raise ValueError(f"bitmap must be bool (H, W) of 1 to 2**30 - 1 pixels, not {bitmap.dtype} {bitmap.shape}")
    values, lengths = _runs(bitmap)
    codes, widths = _records(values, 4 * lengths)
    return _packed(4 * bitmap.size, codes, widths)


def decode(rle: list[int], size: Size) -> NDArray[np.bool_]:
    """Decode any rle-pack stream of RGBA values, ours or the editor's.

    Args:
        rle: bytes as ints.
        size: (H, W) in original pixels.

    Returns:
        bool (H, W), true where alpha is above 0, as Label Studio paints it.

    Raises:
        ValueError: the stream ends too early, or is not of that size.
    """
    bits = _Bits(bytes(rle))
    count, word = bits.take(32), bits.take(5) + 1
    if count != 4 * size[0] * size[1] or word != _WORD_BITS:
        raise ValueError(f"the stream has {count} values of {word} bits, not {4 * size[0] * size[1]} of 8")
    widths = [bits.take(4) + 1 for _ in range(4)]
    values = np.zeros(count, np.uint8)
    start = 0
    while start < count:
        is_run, width = bits.take(1), widths[bits.take(2)]
        end = start + bits.take(width) + 1
        if end > count:
            raise ValueError("the stream has more values than it says")
        values[start:end] = bits.take(8) if is_run else np.frombuffer(bits.take_bytes(end - start), np.uint8)
        start = end
    return values.reshape(*size, 4)[..., 3] > 0


def _runs(bitmap: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Values (0 or 255) and lengths in pixels of the runs, in row-major order."""
    flat = bitmap.ravel()
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), flat.size - 1).astype(np.int64, copy=False)
    return np.where(flat[ends], 255, 0).astype(np.int64), np.diff(ends, prepend=-1)


def _records(values: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One code and its width in bits for each record; a run longer than 2**16 takes several."""
    widths = np.searchsorted(np.array([8, 16, 256]), lengths)
    extra = (lengths - 1) // _LONGEST
    if extra.any():
        last = np.cumsum(extra + 1) - 1
        rest = lengths - extra * _LONGEST
        values, widths = np.repeat(values, extra + 1), np.repeat(widths, extra + 1)
        lengths = np.full(values.size, _LONGEST, np.int64)
        lengths[last] = rest
    length_bits = _LENGTH_BITS[widths]
    codes = (((4 | widths) << length_bits | (lengths - 1)) << _WORD_BITS) | values
    return codes, 3 + length_bits + _WORD_BITS


def _packed(count: int, codes: NDArray[np.int64], widths: NDArray[np.int64]) -> list[int]:
    """Lay the records one after the other behind the header.

    A record has 14 to 27 bits: it covers at most five bytes, and no two records start in the same byte, so that each
    of the five assignments below names a byte once.
    """
    ends = _HEADER_BITS + np.cumsum(widths)
    starts = ends - widths
    total = int(ends[-1]) // 8 + 1  # the SDK pads with 1 to 8 zero bits
    packed = np.zeros(total + 4, np.uint8)
    packed[:7] = np.frombuffer(((count << 21 | _HEADER_TAIL) << 3).to_bytes(7, "big"), np.uint8)
    first = starts >> 3
    window = codes << (40 - (starts & 7) - widths)
    for index in range(5):
        packed[first + index] |= (window >> (32 - 8 * index) & 0xFF).astype(np.uint8)
    encoded: list[int] = packed[:total].tolist()
    return encoded


class _Bits:
    """Reads a byte string bit by bit, most significant first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> int:
        """The next `count` bits as a number."""
        start, self._at = self._at, self._at + count
        if self._at > 8 * len(self._data):
            raise ValueError("the stream ends too early")
        window = self._data[start // 8 : (self._at + 7) // 8]
        return int.from_bytes(window, "big") >> (-self._at % 8) & ((1 << count) - 1)

    def take_bytes(self, count: int) -> bytes:
        """The next `count` bytes, which need not begin at a byte's edge."""
        return self.take(8 * count).to_bytes(count, "big")
