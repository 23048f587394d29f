"""Images are decoded as a browser shows them: upright, RGB, eight bits; what is broken or too large is named."""

import contextlib
import struct
import threading

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import PngImagePlugin

from sam_backend.errors import ImageTooLargeError, ImageUnreadableError
from sam_backend.labelstudio import images
from sam_backend.labelstudio.images import Limits
from tests.support.formats import STORED_AS, chunk, exif, file, gif_at, png, tiled_tiff

LIMITS = Limits(max_bytes=10**8, max_pixels=10**7, timeout=1)
HEIGHT, WIDTH = 30, 40
Y, X = np.mgrid[:HEIGHT, :WIDTH]
RGB = np.stack([X * 6, Y * 8, (X + Y) * 3], axis=-1).astype(np.uint8)
GRAY = (X * 6).astype(np.uint8)
ALPHA = np.where((X // 8 + Y // 8) % 2, X * 6, 255).astype(np.uint8)
PALETTE = PIL.Image.fromarray(RGB).quantize(16)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def decode(data: bytes, limits: Limits = LIMITS) -> NDArray[np.uint8]:
    return images.decode(data, limits).rgb


def on_white(colors: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float64]:
    share = (alpha / 255)[..., np.newaxis]
    return np.asarray(colors * share + 255 * (1 - share))


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "AVIF", "TIFF"])
def test_all_orientations_come_upright(orientation: int, kind: str) -> None:
    stored = STORED_AS[orientation](RGB)
    options = {"exif": exif(orientation)} if kind != "TIFF" else {"tiffinfo": {0x0112: orientation}}
    quality = {"quality": 95} if kind in ("JPEG", "AVIF") else {}
    upright = decode(file(stored, kind, **options, **quality))
    assert upright.shape == RGB.shape
    assert np.abs(upright.astype(int) - RGB).mean() < (4 if quality else 0.1)


@pytest.mark.parametrize("orientation", STORED_AS)
def test_a_webp_is_never_turned(orientation: int) -> None:
    """Chromium shows WebP as it is stored, whatever its EXIF says."""
    assert np.array_equal(decode(file(RGB, "WEBP", lossless=True, exif=exif(orientation))), RGB)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (exif(6), 6),
        (exif(6)[6:], 6),
        (exif(6, order=">"), 6),
        (exif(6)[:-4], 6),
        (exif(0), 1),
        (exif(9), 1),
        (exif(65535), 1),
        (exif(6, kind=4), 1),
        (exif(6, count=2), 1),
        (exif(6)[:20], 1),
        (exif(6)[:9], 1),
        (b"Exif\0\0", 1),
        (b"", 1),
        (b"Exif\0\0XX*\0" + exif(6)[10:], 1),
        (exif(6)[:10] + b"\xff\xff\xff\xff" + exif(6)[14:], 1),
        (b"Exif\0\0II*\0" + struct.pack("<IH", 8, 0) + struct.pack("<I", 14) + exif(6)[14:], 1),
    ],
)
def test_orientation_is_read_as_chromium_reads_it(block: bytes, expected: int) -> None:
    assert images.orientation(block) == expected


@given(st.binary(max_size=80), st.integers(0, 80))
def test_any_exif_has_an_orientation(noise: bytes, cut: int) -> None:
    assert 1 <= images.orientation(exif(8)[:cut] + noise) <= 8
    assert 1 <= images.orientation(noise) <= 8


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning", "ignore:Metadata Warning:UserWarning")
@pytest.mark.parametrize("broken", [exif(6)[:20], b"Exif\0\0", b"Exif\0\0" + b"\xff" * 60, exif(6)[:14] + b"\xff" * 40])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_broken_exif_does_not_cost_the_image(broken: bytes, kind: str) -> None:
    assert np.abs(decode(file(RGB, kind, exif=broken)).astype(int) - RGB).mean() < 4


def test_only_exif_that_browsers_read_turns_the_image() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(exif(6)):8}\n{exif(6).hex()}\n")
    late = file(RGB)
    at = late.index(b"IEND") - 4
    late = late[:at] + chunk(b"eXIf", exif(6)[6:]) + late[at:]
    for data in (file(RGB, "JPEG", xmp=XMP), file(RGB, pnginfo=info), late):
        assert decode(data).shape == RGB.shape


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "WEBP", "TIFF"])
def test_gray_becomes_rgb(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(decode(file(GRAY, kind, **options)), np.repeat(GRAY[..., np.newaxis], 3, axis=2))


def test_one_bit_and_palettes_become_rgb() -> None:
    bits = (X + Y) % 2 == 0
    assert np.array_equal(decode(file(PIL.Image.fromarray(bits)))[..., 1], np.where(bits, 255, 0))
    assert np.array_equal(decode(file(PALETTE)), np.asarray(PALETTE.convert("RGB")))


def test_transparent_pixels_stand_on_white() -> None:
    rgba = np.dstack([RGB, ALPHA])
    expected = on_white(RGB, ALPHA)
    for data in (file(rgba), file(rgba, "TIFF"), file(rgba, "WEBP", lossless=True)):
        opaque_or_seen = np.abs(decode(data) - expected)
        assert opaque_or_seen.max() <= 1.5
    gray = PIL.Image.merge("LA", (PIL.Image.fromarray(GRAY), PIL.Image.fromarray(ALPHA)))
    assert np.abs(decode(file(gray)) - on_white(np.dstack([GRAY] * 3), ALPHA)).max() <= 1.5


def test_a_transparent_color_is_white() -> None:
    palette = decode(file(PALETTE, transparency=3))
    hidden = np.asarray(PALETTE) == 3
    assert hidden.any()
    assert (palette[hidden] == 255).all()
    assert np.array_equal(palette[~hidden], np.asarray(PALETTE.convert("RGB"))[~hidden])
    rgb = decode(file(RGB, transparency=tuple(RGB[5, 5].tolist())))
    assert rgb[5, 5].tolist() == [255, 255, 255]
    assert rgb[6, 6].tolist() == RGB[6, 6].tolist()


def test_sixteen_bits_are_scaled_not_cut() -> None:
    gray = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    for data in (file(gray), file(gray, "TIFF"), png(gray, 0)):
        assert np.abs(decode(data)[..., 0] - gray / 257).max() <= 0.5
    color = RGB.astype(np.uint16) * 257
    assert np.array_equal(decode(png(color, 2)), RGB)


def test_a_transparent_level_of_sixteen_bits_is_white() -> None:
    gray = np.where(X < 9, 1000, 30000).astype(np.uint16)
    decoded = decode(png(gray, 0, chunk(b"tRNS", struct.pack(">H", 1000))))
    assert (decoded[X < 9] == 255).all()
    assert (decoded[X >= 9] == 117).all()


@pytest.mark.parametrize("values", [X * 1000.0 - 7, X * 0.001, X * 1e30])
def test_floats_are_stretched_to_what_can_be_seen(values: NDArray[np.float64]) -> None:
    decoded = decode(file(values.astype(np.float32), "TIFF"))[..., 0]
    assert np.abs(decoded - X * 255 / (WIDTH - 1)).max() <= 0.51


def test_wide_integers_and_flat_or_undefined_values_are_decoded() -> None:
    wide = (X * 100_000).astype(np.int32)
    assert np.abs(decode(file(wide, "TIFF"))[..., 0] - X * 255 / (WIDTH - 1)).max() <= 0.51
    assert (decode(file(np.full((5, 5), 7.0, np.float32), "TIFF")) == 0).all()
    holes = np.where(X == 3, np.nan, X).astype(np.float32)
    assert (decode(file(holes, "TIFF"))[:, 3] == 0).all()


def test_cmyk_is_converted() -> None:
    decoded = decode(file(PIL.Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95))
    assert np.abs(decoded.astype(int) - RGB).mean() < 4


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_is_its_first_frame(kind: str) -> None:
    frames = [PIL.Image.fromarray(np.full((8, 9, 3), level, np.uint8)) for level in (10, 200)]
    options = {"lossless": True} if kind == "WEBP" else {}
    decoded = decode(file(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert (decoded == 10).all()


def test_a_still_image_apart_from_the_animation_is_not_the_picture() -> None:
    """Browsers show the animation's first frame, even when another image stands before it."""
    frames = [PIL.Image.fromarray(np.full((8, 9, 3), level, np.uint8)) for level in (10, 200, 90)]
    apart = file(frames[0], save_all=True, append_images=frames[1:], default_image=True)
    assert (decode(apart) == 200).all()
    named = PngImagePlugin.PngInfo()
    named.add_text("default_image", "yes")
    assert (decode(file(frames[0], pnginfo=named)) == 10).all()


@pytest.mark.parametrize("options", [{}, {"interlace": 0}, {"transparency": 3}])
def test_a_first_frame_that_does_not_fill_the_canvas_stands_on_white(options: dict[str, int]) -> None:
    small = PIL.Image.fromarray(RGB).resize((20, 10))
    decoded = decode(gif_at(small, (WIDTH, HEIGHT), (7, 12), **options))
    inside = np.zeros((HEIGHT, WIDTH), np.bool_)
    inside[12:22, 7:27] = True
    assert decoded.shape == RGB.shape
    assert (decoded[~inside] == 255).all()
    assert np.array_equal(decoded[inside], decode(file(small.quantize(16), "GIF", **options)).reshape(-1, 3))


def test_a_frame_beyond_the_canvas_widens_it() -> None:
    """As in Chromium."""
    small = PIL.Image.fromarray(RGB).resize((20, 10))
    assert decode(gif_at(small, (30, 30), (20, 25))).shape == (35, 40, 3)
    assert decode(gif_at(small, (0, 0), (0, 0))).shape == (10, 20, 3)


def test_a_tiff_of_tiles_is_decoded() -> None:
    assert np.array_equal(decode(tiled_tiff(RGB, 16)), RGB)


def test_the_first_of_several_pictures_is_taken() -> None:
    second = PIL.Image.fromarray(RGB[:9, :8])
    assert np.array_equal(decode(file(PIL.Image.fromarray(RGB), "TIFF", save_all=True, append_images=[second])), RGB)
    assert decode(file(PIL.Image.fromarray(RGB), "MPO", save_all=True, append_images=[second])).shape == RGB.shape


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1)])
def test_thin_images(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image = images.decode(file(pixels), LIMITS)
    assert image.original_size == shape
    assert np.array_equal(image.rgb, pixels)


def test_the_array_is_plain_and_read_only() -> None:
    for data in (file(RGB), file(STORED_AS[6](RGB), exif=exif(6)), file(GRAY.astype(np.uint16) * 257)):
        rgb = decode(data)
        assert rgb.dtype == np.uint8
        assert rgb.flags.c_contiguous
        assert not rgb.flags.writeable


def test_equal_pixels_have_equal_digests_whatever_their_file() -> None:
    digest = images.decode(file(RGB), LIMITS).digest
    same = [file(RGB, "BMP"), file(RGB, compress_level=1), file(STORED_AS[8](RGB), exif=exif(8))]
    assert {images.decode(data, LIMITS).digest for data in same} == {digest}
    other = RGB.copy()
    other[-1, -1, 0] ^= 1
    assert images.decode(file(other), LIMITS).digest != digest
    assert images.digest(RGB.reshape(WIDTH, HEIGHT, 3)) != images.digest(RGB)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_truncated_file_is_unreadable(kind: str, share: float) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = file(noise, kind)
    with pytest.raises(ImageUnreadableError, match="cannot be read"):
        images.decode(data[: int(len(data) * share)], LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"<!DOCTYPE html><title>Log in</title>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        file(RGB, "PPM"),
        file(RGB, "ICO"),
    ],
    ids=["empty", "png's first bytes", "html", "postscript", "svg", "ppm", "ico"],
)
def test_what_is_no_image_or_of_a_closed_format_is_unreadable(data: bytes) -> None:
    with pytest.raises(ImageUnreadableError, match="cannot be read"):
        images.decode(data, LIMITS)


@given(st.binary(max_size=200), st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]), st.integers(0, 400))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_noise_in_a_file_is_an_image_or_a_named_error(noise: bytes, kind: str, at: int) -> None:
    data = file(RGB[:8, :8], kind)
    at = min(at, len(data))
    with contextlib.suppress(ImageUnreadableError, ImageTooLargeError):
        assert decode(data[:at] + noise + data[at + len(noise) :]).ndim == 3


def header_only(width: int, height: int) -> bytes:
    """A PNG that says how large it is and has no pixels: decoding it would fail."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(20_000, 10_000), (100_000, 2_000), (60_000, 60_000)])
def test_200_megapixels_are_refused_before_they_are_decoded(size: tuple[int, int]) -> None:
    """Warnings are errors in these tests, so Pillow's own guard is silent too."""
    with pytest.raises(ImageTooLargeError, match=f"{size[0]} × {size[1]}"):
        images.decode(header_only(*size), Limits(10**8, 100_000_000, 1))


def test_the_limit_is_the_settings_not_pillows() -> None:
    """Pillow alone would warn from 89.5 megapixels on."""
    large = file(PIL.Image.new("1", (10_000, 9_000)))
    assert images.decode(large, Limits(10**8, 90_000_000, 1)).original_size == (9_000, 10_000)
    with pytest.raises(ImageTooLargeError):
        images.decode(large, Limits(10**8, 89_999_999, 1))


def test_threads_decode_the_same() -> None:
    data = [file(np.roll(RGB, n), exif=exif(1 + n % 8)) for n in range(8)]
    expected = [images.decode(one, LIMITS).digest for one in data]
    found: dict[int, list[str]] = {}

    def work(number: int) -> None:
        found[number] = [images.decode(one, LIMITS).digest for one in data]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(found.values()) == [expected] * 8
