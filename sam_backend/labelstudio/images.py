"""Bytes become an `Image`: upright as a browser shows it, RGB, eight bits.

The sizes that Label Studio sends are those of the browser's upright image, and the mask must have them too. So this
follows browsers (Chromium 156 and Firefox 153 were compared) rather than the file's own idea: JPEG, PNG and AVIF are
turned as EXIF says, WebP is not, and XMP counts nowhere; transparent pixels stand on white; an animation is its first
frame. What no browser shows (TIFF) is made visible. Color profiles and gamma are not applied.
One thing is left to who has the prompts: by a JPEG's EXIF (resolution and size) Chromium may show it at another size.
"""

import hashlib
import io
import struct
from dataclasses import dataclass
from typing import Self

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.GifImagePlugin import GifImageFile
from PIL.Image import Transpose

from sam_backend.errors import ImageTooLargeError, ImageUnreadableError
from sam_backend.sam.types import Image
from sam_backend.settings import Settings

# `decode` compares the size in the header with our own limit before any pixel is decoded; Pillow's fixed one would
# print warnings below it and fail above.
PIL.Image.MAX_IMAGE_PIXELS = None

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF")
"""What is decoded: what browsers show, and TIFF. Pillow's other decoders stay closed to strangers' bytes."""

_TURNED_BY_EXIF = ("JPEG", "MPO", "PNG", "AVIF")
_ORIENTATION, _SHORT = 0x0112, 3
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of an image we take.

    Attributes:
        max_bytes: largest file.
        max_pixels: most pixels.
        timeout: seconds that fetching may take in all.
    """

    max_bytes: int
    max_pixels: int
    timeout: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits that the settings name."""
        return cls(settings.max_image_bytes, settings.max_image_pixels, settings.image_timeout)


def decode(data: bytes, limits: Limits) -> Image:
    """Decode an image file.

    Args:
        data: the file.
        limits: `max_pixels` is checked against the header, before memory is taken for pixels.

    Returns:
        The upright image; its array is read-only.

    Raises:
        ImageTooLargeError: more pixels than the limit.
        ImageUnreadableError: no image, a broken or truncated one, or of a format that is not decoded.
    """
    try:
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check_size(picture.size, limits)
            rgb = np.asarray(_upright(picture))
    except ImageTooLargeError:
        raise
    except PIL.UnidentifiedImageError as error:
        raise ImageUnreadableError(
            "The image cannot be read: it is of no known format.",
            f"Check the file; the formats read here are {', '.join(FORMATS)}.",
        ) from error
    except Exception as error:  # Pillow's decoders raise almost anything on broken files
        raise ImageUnreadableError(
            f"The image cannot be read: {str(error) or type(error).__name__}.",
            f"Check the file; the formats read here are {', '.join(FORMATS)}.",
        ) from error
    rgb = np.ascontiguousarray(rgb)
    rgb.setflags(write=False)
    return Image(rgb, digest(rgb))


def digest(rgb: NDArray[np.uint8]) -> str:
    """Hexadecimal digest of an array's shape and values; equal digests mean equal pixels."""
    state = hashlib.sha256(struct.pack(f"<{rgb.ndim}q", *rgb.shape))
    state.update(np.ascontiguousarray(rgb).data)
    return state.hexdigest()


def _check_size(size: tuple[int, int], limits: Limits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise ImageTooLargeError(
            f"The image has {width} × {height} pixels, more than the limit of {limits.max_pixels}.",
            "Make it smaller, or raise SAM_MAX_IMAGE_PIXELS.",
        )


def _upright(picture: PIL.Image.Image) -> PIL.Image.Image:
    """RGB, turned as EXIF says. Pillow has turned a TIFF on loading, and written AVIF's turn into EXIF."""
    # Before the pixels are loaded: EXIF that follows them in a PNG does not count.
    exif = picture.info.get("exif") if picture.format in _TURNED_BY_EXIF else None
    method = _UPRIGHT.get(orientation(exif or b""))
    first = _first_frame(picture)
    return first if method is None else first.transpose(method)


def _first_frame(picture: PIL.Image.Image) -> PIL.Image.Image:
    """RGB. A PNG's still image may stand apart from its animation; a GIF's first frame may not fill the canvas."""
    if picture.info.get("default_image") is True:  # a text chunk of that name is none
        picture.seek(1)
    box = picture.tile[0][1] if isinstance(picture, GifImageFile) and picture.tile else None
    picture.load()
    if box is None or box == (0, 0, *picture.size):
        return _rgb(picture)
    canvas = PIL.Image.new("RGB", picture.size, "white")
    canvas.paste(_rgb(picture).crop(box), box)
    return canvas


def orientation(exif: bytes) -> int:
    """The orientation in an EXIF block, 1 to 8; 1 where it is missing, broken, or not the one short that it should be.

    Pillow's `getexif` is more lenient than browsers are, and believes XMP.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (offset,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, offset)
        entries = [struct.unpack_from(f"{order}HHIH", tiff, offset + 2 + 12 * index) for index in range(count)]
    except struct.error:
        return 1
    found = next((entry[1:] for entry in entries if entry[0] == _ORIENTATION), (_SHORT, 1, 1))
    return found[2] if found[:2] == (_SHORT, 1) and 1 <= found[2] <= 8 else 1


def _rgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Eight-bit RGB, transparent pixels on white."""
    if picture.mode.startswith("I;16"):
        levels = np.asarray(picture)
        return _from_levels(np.where(levels == picture.info.get("transparency"), 65535, levels), 0, 65535)
    if picture.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(picture, np.float64), posinf=0, neginf=0)
        return _from_levels(values, values.min(), values.max())
    if picture.has_transparency_data:
        colors = picture.convert("RGBA")
        white = PIL.Image.new("RGBA", colors.size, "white")
        return PIL.Image.alpha_composite(white, colors).convert("RGB")
    return picture.convert("RGB")


def _from_levels(values: NDArray[np.generic], low: float, high: float) -> PIL.Image.Image:
    """Gray levels from `low` to `high` become 0 to 255."""
    scaled = (values.astype(np.float32) - low) * (255 / max(high - low, 1e-9))
    return PIL.Image.fromarray(np.round(scaled).astype(np.uint8)).convert("RGB")
