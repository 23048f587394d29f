"""In every kind of file the mask lies on the object: a data URI, a click, an answer.

What the browser shows of each file was compared with headless Chromium 156; its sizes are those that prompts name.
"""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sam_backend import services
from sam_backend.backend import SamBackend
from sam_backend.errors import ImageUnreadableError
from sam_backend.labelstudio import images
from sam_backend.services import Services
from sam_backend.settings import Settings
from tests.support import formats, recordings, scenes
from tests.support.formats import STORED_AS, chunk, exif, file, png

# Neither the picture nor the object is like itself when turned or mirrored.
SCENE = scenes.draw(240, 160, {"object": (36, 36, 20, 24)}, seed=4)
RGB, OBJECT = SCENE.rgb, SCENE.objects["object"]
PICTURE = PIL.Image.fromarray(RGB)
GRAY = np.asarray(PICTURE.convert("L"))
PALETTE = PICTURE.quantize(16)
FLAT = PIL.Image.fromarray(np.where(OBJECT, 0, 255).astype(np.uint8))
TWO_COLORS = PIL.Image.fromarray(OBJECT.astype(np.uint8))
TWO_COLORS.putpalette([200, 60, 40, 60, 90, 200])
TWO_ON_WHITE = np.where(OBJECT[..., np.newaxis], (60, 90, 200), 255)
ALPHA = np.where(OBJECT, 255, 0).astype(np.uint8)
OTHER = PIL.Image.new("RGB", PICTURE.size, "blue")
COLOR, GRAY_ONLY, ON_WHITE = RGB, np.dstack([GRAY] * 3), np.where(OBJECT[..., np.newaxis], RGB, 255)
WIDE, WIDE_GRAY = RGB.astype(np.uint16) * 257, GRAY.astype(np.uint16) * 257
LIMITS = images.Limits.of(Settings())


def turned(kind: str, orientation: int) -> bytes:
    quality = {"quality": 95} if kind in ("JPEG", "AVIF") else {}
    return file(STORED_AS[orientation](RGB), kind, exif=exif(orientation), **quality)


def shown(kind: str, number: int) -> tuple[str, tuple[Callable[[], bytes], Any]]:
    return f"{kind} turned {number}", (lambda: turned(kind, number), COLOR)


# The file, and what browsers show of it.
FILES: dict[str, tuple[Callable[[], bytes], Any]] = {
    **dict(shown(kind, number) for kind in ("JPEG", "PNG", "AVIF") for number in STORED_AS),
    "JPEG progressive": (lambda: file(RGB, "JPEG", quality=95, progressive=True), COLOR),
    "JPEG gray": (lambda: file(GRAY, "JPEG", quality=95), GRAY_ONLY),
    "JPEG CMYK": (lambda: file(PICTURE.convert("CMYK"), "JPEG", quality=95), COLOR),
    "JPEG of several": (lambda: file(PICTURE, "MPO", save_all=True, append_images=[OTHER], quality=95), COLOR),
    "PNG gray": (lambda: file(GRAY), GRAY_ONLY),
    "PNG gray 16": (lambda: png(WIDE_GRAY, 0), GRAY_ONLY),
    "PNG gray 4": (lambda: png(GRAY >> 4, 0, bits=4), GRAY_ONLY),
    "PNG one bit": (lambda: png(GRAY > 150, 0, bits=1), np.where(GRAY_ONLY > 150, 255, 0)),
    "PNG 16": (lambda: png(WIDE, 2), COLOR),
    "PNG gray and alpha": (
        lambda: png(np.dstack([GRAY, ALPHA]), 4, bits=8),
        np.minimum(GRAY_ONLY + 255 * (ON_WHITE == 255), 255),
    ),
    "PNG alpha": (lambda: file(np.dstack([RGB, ALPHA])), ON_WHITE),
    "PNG alpha 16": (lambda: png(np.dstack([RGB, ALPHA]).astype(np.uint16) * 257, 6), ON_WHITE),
    "PNG palette": (lambda: file(PALETTE), COLOR),
    "PNG palette, a color transparent": (lambda: file(TWO_COLORS, transparency=0), TWO_ON_WHITE),
    "PNG color transparent": (
        lambda: png(WIDE, 2, chunk(b"tRNS", WIDE[0, 0].astype(">u2").tobytes())),
        COLOR,
    ),
    "PNG animated": (lambda: file(PICTURE, save_all=True, append_images=[OTHER]), COLOR),
    "PNG animated, another before": (
        lambda: file(OTHER, save_all=True, append_images=[PICTURE, OTHER], default_image=True),
        COLOR,
    ),
    "GIF": (lambda: file(PALETTE, "GIF"), COLOR),
    "GIF animated": (lambda: file(PICTURE, "GIF", save_all=True, append_images=[OTHER]), COLOR),
    "WEBP": (lambda: file(RGB, "WEBP", quality=95), COLOR),
    "WEBP lossless": (lambda: file(RGB, "WEBP", lossless=True), COLOR),
    "WEBP not turned": (lambda: file(RGB, "WEBP", lossless=True, exif=exif(6)), COLOR),
    "WEBP alpha": (lambda: file(np.dstack([RGB, ALPHA]), "WEBP", lossless=True), ON_WHITE),
    "WEBP animated": (lambda: file(PICTURE, "WEBP", save_all=True, append_images=[OTHER], lossless=True), COLOR),
    "AVIF alpha": (lambda: file(np.dstack([RGB, ALPHA]), "AVIF", quality=95), ON_WHITE),
    "AVIF animated": (lambda: file(PICTURE, "AVIF", save_all=True, append_images=[OTHER], quality=95), COLOR),
    "BMP": (lambda: file(RGB, "BMP"), COLOR),
    "BMP top down": (lambda: formats.bmp(RGB, 24, is_top_down=True), COLOR),
    "BMP 16": (lambda: formats.bmp(RGB, 16), COLOR),
    "BMP alpha": (lambda: formats.bmp(RGB, 32, ALPHA), ON_WHITE),
    "BMP palette": (lambda: file(PALETTE, "BMP"), COLOR),
    "BMP one bit": (lambda: file(FLAT.convert("1"), "BMP"), np.where(OBJECT, 0, 255)[..., np.newaxis]),
    "TIFF": (lambda: file(RGB, "TIFF"), COLOR),
    "TIFF tiled": (lambda: formats.tiled_tiff(RGB), COLOR),
    "TIFF of several": (lambda: file(PICTURE, "TIFF", save_all=True, append_images=[OTHER.resize((9, 9))]), COLOR),
    "TIFF CMYK": (lambda: file(PICTURE.convert("CMYK"), "TIFF"), COLOR),
    "TIFF gray 16": (lambda: file(WIDE_GRAY, "TIFF"), GRAY_ONLY),
}


@pytest.fixture(scope="module")
def shared() -> Iterator[Services]:
    built = services.build(Settings())
    yield built
    built.close()


def uri(data: bytes) -> str:
    """Whatever the file is: its bytes say so, not its name."""
    return "data:image/png;base64," + base64.b64encode(data).decode()


def ask(shared: Services, data: bytes, size: tuple[int, int], *prompts: dict[str, Any]) -> list[dict[str, Any]]:
    body = recordings.ask(uri(data), size, *prompts)
    backend = SamBackend(project_id="1.1", label_config=body["label_config"], shared=shared)
    [prediction] = backend.predict(body["tasks"], body["params"]["context"])
    return list(prediction["result"])


@pytest.mark.parametrize("name", FILES)
def test_the_mask_lies_on_the_object(shared: Services, name: str) -> None:
    write, expected = FILES[name]
    decoded = images.decode(write(), LIMITS)
    assert decoded.original_size == OBJECT.shape
    assert np.abs(decoded.rgb.astype(int) - expected).mean() < 6
    [region] = ask(shared, write(), OBJECT.shape, recordings.keypoint(36, 36))
    assert (region["original_height"], region["original_width"]) == OBJECT.shape
    assert scenes.iou(recordings.bitmap(region), OBJECT) >= 0.8


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (2, 3)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "AVIF", "BMP", "TIFF"])
def test_an_image_of_one_row_or_column_is_answered_at_its_size(
    shared: Services, kind: str, size: tuple[int, int]
) -> None:
    data = file(np.asarray(PICTURE.resize(size[::-1])), kind)
    for prompt in (recordings.keypoint(50, 50), recordings.rectangle(10, 10, 80, 80), recordings.keypoint(100, 100)):
        for region in ask(shared, data, size, prompt):
            assert recordings.bitmap(region).shape == size


@pytest.mark.parametrize(("dpi", "scale"), [(144, 0.5), (36, 2.0), (216, 1 / 3)])
def test_the_mask_has_the_size_that_the_browser_gives_a_dense_jpeg(shared: Services, dpi: int, scale: float) -> None:
    """Chromium shows it at the size that its EXIF names, where that agrees with its resolution; so prompts name it."""
    size = round(OBJECT.shape[0] * scale), round(OBJECT.shape[1] * scale)
    data = file(RGB, "JPEG", quality=95, exif=formats.density(dpi, size[1], size[0]))
    [region] = ask(shared, data, size, recordings.keypoint(36, 36))
    seen = np.asarray(PIL.Image.fromarray(OBJECT).resize(size[::-1]))
    assert scenes.iou(recordings.bitmap(region), seen) >= 0.8


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF"])
def test_half_a_file_is_a_named_error(shared: Services, kind: str) -> None:
    data = file(RGB, kind)
    with pytest.raises(ImageUnreadableError, match="cannot be read"):
        ask(shared, data[: len(data) // 2], OBJECT.shape, recordings.keypoint(36, 36))
