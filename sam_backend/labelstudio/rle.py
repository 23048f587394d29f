"""Label Studio's run-length encoding of brush masks (thi.ng's rle-pack over RGBA pixels).

A stream has 32 bits for the number of values (H·W·4), 5 for the width of a value less one, four times 4 for the widths
of a length less one, then records: one bit (1 a run, 0 literals), two bits that choose the length's width, the length
less one, then one value for a run or as many as the length says for literals. Most significant bit first.

A mask's value is the same in all four channels, so a run of n pixels is a run of 4·n values and the encoder never looks
at RGBA pixels. Its bytes are those of `label_studio_sdk.converter.brush.mask2rle(mask * 255)`.
"""

import struct
from array import array

import numpy as np
from numpy.typing import NDArray

from sam_backend.sam.patch import Patch, Size

_WORD_BITS = 8
_LENGTH_BITS = np.array([3, 4, 8, 16], np.int64)
_LONGEST = 1 << 16
_HEADER_BITS = 32 + 5 + 4 * 4
_FOUR_BYTES = struct.Struct(">I").unpack_from
_HEADER_TAIL = 7 << 16 | 0x237F  # value width and the four length widths, each less one


def encode(mask: Patch | NDArray[np.bool_]) -> list[int]:
    """Encode a mask: inside is 255, outside 0, in all four channels.

    Args:
        mask: a mask, or bool (H, W), at the image's natural size.

    Returns:
        Bytes as ints in 0..255, ready for a region's `rle`.

    Raises:
        ValueError: the bitmap is not boolean, not two-dimensional, empty, or has 2**30 pixels or more.
    """
    patch = mask if isinstance(mask, Patch) else _of_bitmap(mask)
    count = patch.original_size[0] * patch.original_size[1]
    values, lengths = _runs(patch.edges, count)
    codes, widths = _records(values, 4 * lengths)
    return _packed(4 * count, codes, widths)


def _of_bitmap(bitmap: NDArray[np.bool_]) -> Patch:
    if bitmap.dtype != np.bool_ or bitmap.ndim != 2 or not 0 < bitmap.size < 1 << 30:
        raise ValueError(f"bitmap must be bool (H, W) of 1 to 2**30 - 1 pixels, not {bitmap.dtype} {bitmap.shape}")
    return Patch.of(bitmap)


def decode(rle: object, size: Size) -> NDArray[np.bool_]:
    """The mask of a stream as bool (H, W); otherwise as `read`."""
    return read(rle, size).bitmap


def read(rle: object, size: Size) -> Patch:
    """Decode any rle-pack stream of RGBA values, ours or the editor's.

    Args:
        rle: bytes as ints, or as they are.
        size: (H, W) in original pixels.

    Returns:
        What has an alpha above 0, as Label Studio paints it.

    Raises:
        ValueError: these are no bytes, the stream ends too early, or it is not of that size. The stream's length bounds
            the time until then, and the memory.
    """
    data = _as_bytes(rle)
    count = 4 * size[0] * size[1]
    widths = _read_header(data, count)
    starts = _follow_runs(data, widths)
    is_run, lengths, values_at = _read(data, starts, np.array(widths, np.int64))
    if not is_run.all() or lengths.sum() != count:
        starts = _follow(data, count, widths)
        is_run, lengths, values_at = _read(data, starts, np.array(widths, np.int64))
    ends = np.cumsum(lengths)
    if ends.size and ends[-1] > count:
        raise ValueError("the stream has more values than it says")
    zeroth_at = values_at - np.where(is_run, 0, _WORD_BITS * (ends - lengths))
    return Patch.at_changes(_changes(data, np.append(0, ends) // 4, zeroth_at, is_run), size)


def _as_bytes(rle: object) -> bytes:
    try:
        return bytes(rle if isinstance(rle, list | bytes) else ())
    except (TypeError, ValueError):
        raise ValueError("the stream is not a list of bytes") from None


def _read_header(data: bytes, expected: int) -> list[int]:
    """The four widths of a length, in bits. `expected` is the number of values."""
    if 8 * len(data) < _HEADER_BITS:
        raise ValueError("the stream ends too early")
    header = int.from_bytes(data[:7], "big") >> 3
    count, word = header >> 21, (header >> 16 & 31) + 1
    if count != expected or word != _WORD_BITS:
        raise ValueError(f"the stream has {count} values of {word} bits, not {expected} of 8")
    return [(header >> shift & 15) + 1 for shift in (12, 8, 4, 0)]


def _follow(data: bytes, count: int, widths: list[int]) -> NDArray[np.int64]:
    """Where each record begins, int64 (records,), in bits, up to the one that has the last of `count` values.

    Its loop is all that looks at one record after the other, so it does the least: each record says where the next is.
    """
    # What a record's first three bits say: how to cut out its length, the bits before its values, and for each value.
    literals = [(29 - width, (1 << width) - 1, 3 + width, _WORD_BITS) for width in widths]
    cuts = literals + [(shift, mask, before + _WORD_BITS, 0) for shift, mask, before, _ in literals]
    starts = array("q")
    at, done = _HEADER_BITS, 0
    padded = data + bytes(4)
    try:
        while done < count:
            window = _FOUR_BYTES(padded, at >> 3)[0] << (at & 7)
            shift, mask, before, each = cuts[window >> 29 & 7]
            length = (window >> shift & mask) + 1
            starts.append(at)
            at += before + each * length
            done += length
    except struct.error:
        at = 8 * len(padded)
    if at > 8 * len(data):
        raise ValueError("the stream ends too early")
    return np.frombuffer(starts, np.int64)


def _follow_runs(data: bytes, widths: list[int]) -> NDArray[np.int64]:
    """As `_follow`, of a stream that has runs alone and nothing behind them, as masks have; of another, anything.

    It looks at no length: a third of the time.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    heads = (bits[:-2] << 2 | bits[1:-1] << 1 | bits[2:]).tobytes()
    end = len(heads)
    steps = [end] * 4 + [3 + width + _WORD_BITS for width in widths]
    last = 8 * len(data) - min(steps)
    starts = array("q")
    at = _HEADER_BITS
    while at <= last:
        starts.append(at)
        at += steps[heads[at]]
    return np.frombuffer(starts, np.int64)


def _read(
    data: bytes, starts: NDArray[np.int64], widths: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """For each record: whether it is a run, how many values it has, and the bit at which its first value begins."""
    head = _bits(data, starts, 3)
    width = widths[head & 3]
    lengths = (_bits(data, starts + 3, 16) >> (16 - width)) + 1
    return head >= 4, lengths, starts + 3 + width


def _changes(
    data: bytes, edges: NDArray[np.int64], zeroth_at: NDArray[np.int64], is_run: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The pixels at which alpha becomes more than 0, or 0 again.

    Args:
        data: the stream.
        edges: int64 (records + 1,), the pixels where records begin and end, counted by their alphas.
        zeroth_at: int64 (records,), the bit of a run's value; for literals, where the very first value of the picture
            would be, were all values literals.
        is_run: bool (records,).
    """
    pixels = np.diff(edges)
    pieces = np.where(is_run, pixels > 0, pixels)  # literals have a value for each pixel
    nth = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    at = np.repeat(edges[:-1], pieces) + nth
    alpha_at = np.repeat(zeroth_at, pieces) + np.where(np.repeat(is_run, pieces), 0, _WORD_BITS * (4 * at + 3))
    inside = _bits(data, alpha_at, _WORD_BITS) > 0
    changes: NDArray[np.int64] = at[np.diff(inside, prepend=False)]
    return changes


def _bits(data: bytes, at: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The `count` bits, 16 at most, from each of these places on; behind the end there are zeros."""
    stream = np.frombuffer(data + bytes(3), np.uint8)
    byte = at >> 3
    window = stream[byte].astype(np.int64) << 16
    window |= stream[byte + 1].astype(np.int64) << 8
    window |= stream[byte + 2]
    found: NDArray[np.int64] = window >> (24 - count - (at & 7)) & ((1 << count) - 1)
    return found


def _runs(edges: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Values (0 or 255) and lengths in pixels of the runs, in row-major order, of a mask with these edges."""
    lengths = np.diff(edges, prepend=0, append=count)
    values = np.zeros(lengths.size, np.int64)
    values[1::2] = 255
    there = slice(int(lengths[0] == 0), lengths.size - int(lengths[-1] == 0))
    return values[there], lengths[there]


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
