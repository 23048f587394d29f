"""An entry's frame: what says, when it is read again, that it is whole and the one that was asked for.

    8 bytes   `SAMCACHE`
    32 bytes  SHA-256 of all that follows
    4 bytes   bytes of the key     (little-endian)
    8 bytes   bytes of the value   (little-endian)
    key       UTF-8, followed by zeros up to a multiple of 8
    value

It protects from accidents, not from whoever may write to the store; but nothing that is read is ever run.
"""

import hashlib
import struct
from collections.abc import Sequence

_MAGIC = b"SAMCACHE"
_DIGEST = 32
_SIZES = struct.Struct("<IQ")
_SUMMED = len(_MAGIC) + _DIGEST  # where that begins of which the digest is made
_HEAD = _SUMMED + _SIZES.size

Part = bytes | memoryview


class BrokenEntryError(Exception):
    """An entry that is torn, changed, or another one's. It stays in the cache, which counts it as a miss."""


def seal(key: str, value: Sequence[Part]) -> list[Part]:
    """The parts of an entry, in order, to be written one after the other.

    Args:
        key: what it is asked for by.
        value: its parts in order, each contiguous; they are not copied.
    """
    name = key.encode()
    sizes = _SIZES.pack(len(name), sum(memoryview(part).nbytes for part in value))
    named = sizes + name + bytes(_padding(len(name)))
    digest = hashlib.sha256(named)
    for part in value:
        digest.update(part)
    return [_MAGIC + digest.digest() + named, *value]


def unseal(key: str, entry: bytes) -> memoryview:
    """The value in an entry, not copied; it begins at a multiple of 4 bytes.

    Raises:
        BrokenEntryError: this is not the whole entry of `key`.
    """
    name = key.encode()
    start = _HEAD + len(name) + _padding(len(name))
    if len(entry) < start or not entry.startswith(_MAGIC):
        raise BrokenEntryError("it is no entry, or a torn one")
    named, size = _SIZES.unpack_from(entry, _SUMMED)
    if named != len(name) or entry[_HEAD : _HEAD + named] != name:
        raise BrokenEntryError("it is the entry of another key")
    if len(entry) != start + size:
        raise BrokenEntryError(f"it has {len(entry)} bytes, not {start + size}")
    view = memoryview(entry)
    if hashlib.sha256(view[_SUMMED:]).digest() != entry[len(_MAGIC) : _SUMMED]:
        raise BrokenEntryError("its checksum is wrong")
    return view[start:]


def _padding(name: int) -> int:
    return -(_HEAD + name) % 8
