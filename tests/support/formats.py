"""Image files by hand: what Pillow does not write, and what browsers show of it."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

# What a pixel (row, column) of the upright picture is in the file, for each EXIF orientation; from the EXIF standard.
STORED_AS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[:, ::-1],
}


def file(array: NDArray[Any] | PIL.Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The file that Pillow writes."""
    buffer = io.BytesIO()
    picture = array if isinstance(array, PIL.Image.Image) else PIL.Image.fromarray(np.ascontiguousarray(array))
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(value: int, *, order: str = "<", kind: int = 3, count: int = 1) -> bytes:
    """An EXIF block with an orientation."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHI", 0x0112, kind, count) + struct.pack(
        f"{order}{'I' if kind == 4 else 'HH'}", *([value] if kind == 4 else [value, 0])
    )
    return b"Exif\0\0" + mark + struct.pack(f"{order}IH", 8, 1) + entry + struct.pack(f"{order}I", 0)


def density(dpi: int, width: int, height: int) -> bytes:
    """An EXIF block that gives a resolution and a size.

    Chromium shows a JPEG of 72 / dpi times its pixels at this size where both agree.
    """
    ratio, own = 8 + 2 + 4 * 12 + 4, 8 + 2 + 4 * 12 + 4 + 8
    entries = [(0x011A, 5, 1, ratio), (0x011B, 5, 1, ratio), (0x0128, 3, 1, 2), (0x8769, 4, 1, own)]
    main = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    size = struct.pack("<HHHIIHHII", 2, 0xA002, 4, 1, width, 0xA003, 4, 1, height)
    head = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries))
    return head + main + struct.pack("<III", 0, dpi, 1) + size + struct.pack("<I", 0)


def chunk(name: bytes, body: bytes) -> bytes:
    """A PNG's."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(raw: NDArray[Any], color: int, *extra: bytes, bits: int = 16) -> bytes:
    """A PNG of a color type and depth that Pillow may not write; `extra` are chunks before the pixels.

    `raw` has values of `bits` bits, (H, W) or (H, W, C).
    """
    flat = raw.reshape(len(raw), -1)
    shifts = np.arange(bits - 1, -1, -1)
    rows = np.packbits((flat[..., np.newaxis].astype(np.int64) >> shifts & 1).reshape(len(raw), -1), axis=1)
    header = struct.pack(">IIBBBBB", raw.shape[1], raw.shape[0], bits, color, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + pixels + chunk(b"IEND", b"")


def gif_at(picture: PIL.Image.Image, canvas: tuple[int, int], place: tuple[int, int], **options: Any) -> bytes:
    """A GIF whose frame stands at `place` (x, y) on a canvas of (width, height)."""
    data = bytearray(file(picture.quantize(16), "GIF", **options))
    data[6:10] = struct.pack("<HH", *canvas)
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    while data[at] == ord("!"):  # extensions, each of some blocks
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    data[at + 1 : at + 5] = struct.pack("<HH", *place)
    return bytes(data)


def bmp(
    rgb: NDArray[np.uint8], bits: int, alpha: NDArray[np.uint8] | None = None, *, is_top_down: bool = False
) -> bytes:
    """A BMP of 16 (5, 6, 5), 24 or 32 bits; with `alpha` its header names the bits of it."""
    red, green, blue = (rgb[..., channel].astype(np.uint32) for channel in range(3))
    if bits == 16:
        values = ((red >> 3 << 11) | (green >> 2 << 5) | blue >> 3).astype("<u2")[..., np.newaxis].view(np.uint8)
    else:
        values = np.dstack([blue, green, red, *([] if bits == 24 else [red * 0 if alpha is None else alpha])])
    rows = values.astype(np.uint8).reshape(len(rgb), -1)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    height, masks = len(rgb), b""
    if bits == 16:
        masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    elif alpha is not None:
        masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    pixels = (rows if is_top_down else rows[::-1]).tobytes()
    size, sign = 40 if bits == 16 else 40 + len(masks), -1 if is_top_down else 1
    info = (size, rgb.shape[1], sign * height, 1, bits, 3 if masks else 0, len(pixels), 2835, 2835, 0, 0)
    start = 14 + 40 + len(masks)
    head = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    return head + struct.pack("<IiiHHIIiiII", *info) + masks + pixels


def tiled_tiff(rgb: NDArray[np.uint8], tile: int = 64) -> bytes:
    """A TIFF in square tiles, not compressed."""
    height, width = rgb.shape[:2]
    padded = np.pad(rgb, ((0, -height % tile), (0, -width % tile), (0, 0)))
    corners = [(y, x) for y in range(0, height, tile) for x in range(0, width, tile)]
    tiles = [padded[y : y + tile, x : x + tile].tobytes() for y, x in corners]
    count, tail = len(tiles), 8 + 2 + 12 * 11 + 4
    offsets, lengths = tail + 8, tail + 8 + 4 * count
    first = lengths + 4 * count
    entries = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, tail), (259, 3, 1, 1), (262, 3, 1, 2), (277, 3, 1, 3)),
        *((284, 3, 1, 1), (322, 4, 1, tile), (323, 4, 1, tile), (324, 4, count, offsets), (325, 4, count, lengths)),
    ]
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    places = [first + len(tiles[0]) * number for number in range(count)]
    extra = struct.pack(f"<HHHH{2 * count}I", 8, 8, 8, 0, *places, *(len(body) for body in tiles))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + struct.pack("<I", 0) + extra + b"".join(tiles)
