"""Image files with something wrong: cut, flipped, lying about their size, of two formats at once, or bombs."""

import functools
import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import PIL.Image

from tests.support.formats import chunk, exif, file, gif_at, png, tiled_tiff

Dice = random.Random
Maker = Callable[[], bytes]

_Y, _X = np.mgrid[:48, :64]
_RGB = np.stack([_X * 3, _Y * 5, (_X + _Y) * 2], axis=-1).astype(np.uint8)
_GRAY16 = (_X * 1000).astype(np.uint16)
_BLACK = zlib.compress(bytes(48 * 193))
_PNG = b"\x89PNG\r\n\x1a\n"


def _picture(mode: str) -> PIL.Image.Image:
    return PIL.Image.fromarray(_RGB).convert(mode)


def _frames() -> list[PIL.Image.Image]:
    return [PIL.Image.fromarray(np.full((48, 64, 3), level, np.uint8)) for level in (10, 90, 200)]


def _animated(kind: str) -> bytes:
    first, *others = _frames()
    return file(first, kind, save_all=True, append_images=others)


SOUND: dict[str, Maker] = {
    "jpeg": lambda: file(_RGB, "JPEG", exif=exif(6)),
    "jpeg progressive": lambda: file(_RGB, "JPEG", progressive=True),
    "jpeg cmyk": lambda: file(_picture("CMYK"), "JPEG"),
    "jpeg with a profile": lambda: file(_RGB, "JPEG", icc_profile=b"garbage" * 99),
    "mpo": lambda: file(_frames()[0], "MPO", save_all=True, append_images=_frames()[1:]),
    "png": lambda: file(_RGB, "PNG", exif=exif(8)),
    "png palette": lambda: file(_picture("P"), "PNG", transparency=bytes(range(256))),
    "png rgba": lambda: file(_picture("RGBA")),
    "png 16": lambda: png(_RGB.astype(np.uint16) * 257, 2),
    "png gray 16": lambda: file(_GRAY16),
    "png 1": lambda: file(_picture("1")),
    "apng": lambda: _animated("PNG"),
    "png with a profile": lambda: file(_RGB, "PNG", icc_profile=b"garbage" * 99),
    "gif": lambda: file(_picture("P"), "GIF", transparency=3),
    "gif animated": lambda: _animated("GIF"),
    "gif apart": lambda: gif_at(PIL.Image.fromarray(_RGB).resize((20, 10)), (64, 48), (7, 12)),
    "webp": lambda: file(_RGB, "WEBP"),
    "webp lossless": lambda: file(_picture("RGBA"), "WEBP", lossless=True, exif=exif(3)),
    "webp animated": lambda: _animated("WEBP"),
    "avif": lambda: file(_RGB, "AVIF", exif=exif(5)),
    "bmp": lambda: file(_RGB, "BMP"),
    "bmp palette": lambda: file(_picture("P"), "BMP"),
    "tiff": lambda: file(_RGB, "TIFF", tiffinfo={0x0112: 7}),
    "tiff lzw": lambda: file(_RGB, "TIFF", compression="tiff_lzw"),
    "tiff deflate": lambda: file(_RGB, "TIFF", compression="tiff_adobe_deflate"),
    "tiff jpeg": lambda: file(_RGB, "TIFF", compression="jpeg"),
    "tiff float": lambda: file(_GRAY16.astype(np.float32), "TIFF"),
    "tiff tiled": lambda: tiled_tiff(_RGB[:48, :48], 16),
    "tiff cmyk": lambda: file(_picture("CMYK"), "TIFF"),
}
"""A file of each kind that is decoded."""


@functools.cache
def sound(kind: str) -> bytes:
    """A file of `SOUND`."""
    return SOUND[kind]()


# --------------------------------------------------------------------------------------------------------------- harm


def _cut(dice: Dice, data: bytes) -> bytes:
    return data[: dice.randrange(len(data))]


def _flip(dice: Dice, data: bytes) -> bytes:
    """Bits anywhere, or in the first bytes, where the headers are."""
    changed, end = bytearray(data), dice.choice([40, 200, len(data)])
    for _ in range(dice.choice([1, 2, 8, 60])):
        changed[dice.randrange(min(end, len(data)))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _hole(dice: Dice, data: bytes) -> bytes:
    start = dice.randrange(len(data))
    return data[:start] + data[start + dice.choice([1, 4, 33, 400]) :]


def _noise(dice: Dice, data: bytes) -> bytes:
    start = dice.randrange(len(data))
    return data[:start] + dice.randbytes(dice.choice([1, 4, 33, 400])) + data[start:]


def _extreme(dice: Dice, data: bytes) -> bytes:
    """A number in the headers that is 0, the largest, or negative."""
    width = dice.choice([2, 4])
    start = dice.randrange(min(len(data) - width, 300))
    return data[:start] + dice.choice([b"\0", b"\xff", b"\x7f"]) * width + data[start + width :]


def _other_head(dice: Dice, data: bytes) -> bytes:
    """The first bytes of another format."""
    other, length = sound(dice.choice(list(SOUND))), dice.choice([3, 8, 12, 30])
    return other[:length] + data[length:]


def _two(dice: Dice, data: bytes) -> bytes:
    """Two files in one."""
    tail = dice.choice(
        [sound(dice.choice(list(SOUND))), b"PK\3\4" + bytes(60), b"<script>alert(1)</script>", b"%PDF-1.7"]
    )
    return data + tail if dice.random() < 0.5 else tail + data


def _swap(dice: Dice, data: bytes) -> bytes:
    first, second = sorted(dice.sample(range(len(data)), 2))
    return data[:first] + data[second:] + data[first:second]


HARMS = (_cut, _flip, _flip, _hole, _noise, _extreme, _extreme, _other_head, _two, _swap)


# ------------------------------------------------------------------------------------------------------ by hand, bombs


def _png_of(width: int, height: int, *extra: bytes, bits: int = 8, color: int = 2, pixels: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    return _PNG + header + b"".join(extra) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@functools.cache
def _zeros(size: int) -> bytes:
    """A stream of deflate that grows a thousandfold."""
    packer = zlib.compressobj(9)
    block = bytes(2**20)
    return b"".join(packer.compress(block) for _ in range(size // 2**20)) + packer.flush()


def _gif_of(width: int, height: int) -> bytes:
    data = bytearray(sound("gif"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def _bmp_of(width: int, height: int) -> bytes:
    data = bytearray(sound("bmp"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def _tiff(*entries: tuple[int, int, int, int], follow: int = 0, tail: bytes = b"") -> bytes:
    """A directory of (tag, type, count, value), which names the next one."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + struct.pack("<I", follow) + tail


def _tiff_of(width: int, height: int, strip: bytes, *, compression: int = 8, rows: int | None = None) -> bytes:
    offset = 8 + 2 + 12 * 9 + 4
    basics = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1)]
    strips = [(273, 4, 1, offset), (277, 3, 1, 1), (278, 4, 1, rows or height), (279, 4, 1, len(strip))]
    return _tiff(*basics, *strips, tail=strip)


def _jpeg_with(block: bytes) -> bytes:
    data = sound("jpeg progressive")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]


def _looping() -> bytes:
    """EXIF whose directory follows itself, and has itself for a part."""
    return b"Exif\0\0" + _tiff((0x8769, 4, 1, 8), (0x0112, 3, 1, 6), follow=8)


def _webp_of(width: int, height: int) -> bytes:
    frame = (
        b"VP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + struct.pack("<I", width - 1)[:3]
        + struct.pack("<I", height - 1)[:3]
    )
    return b"RIFF" + struct.pack("<I", len(frame) + 4) + b"WEBP" + frame


def _plain(kind: str, width: int, height: int) -> bytes:
    """A whole file that is small and has many pixels."""
    buffer = io.BytesIO()
    picture = PIL.Image.new("RGB" if kind == "WEBP" else "L", (width, height))
    picture.save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return buffer.getvalue()


SPECIAL: list[Maker] = [
    lambda: b"",
    lambda: b"\0" * 10_000,
    *(functools.partial(_png_of, *size) for size in ((0, 0), (0, 5), (2**31 - 1, 2**31 - 1), (2**32 - 1, 1))),
    lambda: _png_of(3000, 3000),
    lambda: _png_of(64, 48, bits=7),
    lambda: _png_of(64, 48, color=5),
    lambda: _png_of(3000, 3000, pixels=_zeros(100 * 2**20)),
    lambda: _png_of(64, 48, chunk(b"zTXt", b"a\0\0" + _zeros(100 * 2**20)), pixels=_BLACK),
    lambda: _png_of(64, 48, chunk(b"iCCP", b"a\0\0" + _zeros(100 * 2**20)), pixels=_BLACK),
    lambda: _png_of(64, 48, chunk(b"iTXt", b"a\0\1\0\0\0" + _zeros(100 * 2**20)), pixels=_BLACK),
    lambda: _png_of(64, 48, *[chunk(b"tEXt", b"a\0" + b"b" * 900_000)] * 90, pixels=_BLACK),
    lambda: _png_of(64, 48, chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)), pixels=_BLACK),
    lambda: _png_of(64, 48, chunk(b"PLTE", bytes(9)), bits=8, color=3, pixels=zlib.compress(b"\0" + b"\xff" * 64)),
    *(functools.partial(_gif_of, *size) for size in ((0, 0), (65535, 65535), (1, 65535), (3000, 3000))),
    *(functools.partial(_bmp_of, *size) for size in ((0, 0), (-1, 48), (64, -(2**31)), (2**31 - 1, 2**31 - 1))),
    lambda: _bmp_of(3000, -3000),
    *(functools.partial(_webp_of, *size) for size in ((1, 1), (16383, 16383), (2**24, 2**24))),
    *(functools.partial(_tiff_of, *size, b"x") for size in ((0, 0), (2**32 - 1, 2**32 - 1), (2**31, 1), (3000, 3000))),
    lambda: _tiff_of(3000, 3000, _zeros(100 * 2**20)),
    lambda: _tiff_of(3000, 3000, bytes(3000), compression=1, rows=2**32 - 1),
    lambda: _tiff_of(10, 10, b"\x80\x0b\x60\x50", compression=5, rows=1),
    lambda: _tiff((256, 4, 2**32 - 1, 8), (257, 3, 1, 1)),
    lambda: _tiff((256, 4, 1, 5), follow=8),
    lambda: _jpeg_with(_looping()),
    lambda: _jpeg_with(exif(65535)),
    lambda: _jpeg_with(exif(6, kind=12, count=2**31)),
    lambda: _jpeg_with(b"MPF\0" + _tiff((0xB001, 4, 1, 2**32 - 1), (0xB002, 7, 2**31, 8))),
    lambda: file(_RGB, "PNG", exif=_looping()),
    lambda: file(_RGB, "WEBP", exif=_looping()),
    lambda: sound("jpeg").replace(b"\xff\xc0\0\x11\x08\0\x30\0\x40", b"\xff\xc0\0\x11\x08\xff\xff\xff\xff"),
    lambda: sound("jpeg").replace(b"\xff\xc0\0\x11\x08\0\x30\0\x40", b"\xff\xc0\0\x11\x08\0\0\0\0"),
    lambda: sound("jpeg").replace(b"\xff\xc0\0\x11\x08\0\x30\0\x40", b"\xff\xc0\0\x11\x08\x0b\xb8\x0b\xb8"),
    *(functools.partial(_plain, kind, 3100, 3100) for kind in ("PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG")),
    *(functools.partial(_plain, kind, 5000, 5000) for kind in ("PNG", "GIF", "WEBP", "JPEG")),
]  # fmt: skip
"""What chance does not make; those of 3000 pixels a side are within a limit of ten megapixels."""


def specials() -> Iterator[tuple[str, bytes]]:
    """The special files, each with a name."""
    for number, make in enumerate(SPECIAL):
        yield f"special {number}", make()


def files(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """So many files broken by chance, each with a name."""
    dice = random.Random(seed)
    for _ in range(count):
        kind = dice.choice(list(SOUND))
        harms = [dice.choice(HARMS) for _ in range(dice.choice([1, 1, 2]))]
        data = sound(kind)
        for harm in harms:
            data = harm(dice, data) if len(data) > 8 else data
        yield f"{kind}: {[harm.__name__ for harm in harms]}", data
