"""One image file, one prompt, one mask: what `sam-backend segment` does."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.errors import OutputError, PromptError
from sam_backend.labelstudio import images
from sam_backend.sam.types import Image, Mask, Prompt, Size
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings

Point = tuple[float, float]
Box = tuple[float, float, float, float]
TINT = np.array([255, 64, 64])
GREEN, RED, YELLOW = (40, 200, 80), (230, 60, 60), (250, 220, 60)


def segment_file(
    settings: Settings,
    path: Path,
    asked: tuple[tuple[Point, ...], tuple[Point, ...], Box | None],
    output: Path,
    overlay: Path | None,
) -> str:
    """Segment one object of an image file and write its mask.

    Args:
        settings: which model, where.
        path: the image.
        asked: positive points, negative points, and the box, in original pixels.
        output: a PNG, 255 inside and 0 outside, of the upright image's size.
        overlay: if given, the image with the mask and the prompts drawn on it.

    Returns:
        One line that says what was found.

    Raises:
        SamBackendError: any of the named errors.
    """
    segmenter = Segmenter(settings)
    image = images.decode(path.read_bytes(), images.Limits.of(settings))
    prompt = _as_prompt(asked, image.original_size)
    masks = segmenter.segment(image, prompt)
    bitmap = masks[0].bitmap if masks else np.zeros(image.original_size, np.bool_)
    _write(output, bitmap.astype(np.uint8) * 255)
    if overlay:
        _write(overlay, draw(image, bitmap, prompt)[..., ::-1])
    return _in_words(masks, segmenter.model_version, output)


def draw(image: Image, bitmap: NDArray[np.bool_], prompt: Prompt) -> NDArray[np.uint8]:
    """The image with the mask tinted and outlined and the prompt drawn on it; uint8 (H, W, 3), RGB."""
    picture = image.rgb.copy()
    picture[bitmap] = (picture[bitmap] * 0.5 + TINT * 0.5).astype(np.uint8)
    thickness = max(1, max(image.original_size) // 400)
    outline, _ = cv2.findContours(bitmap.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outline, -1, TINT.tolist(), thickness)
    for x0, y0, x1, y1 in prompt.boxes.astype(int).tolist():
        cv2.rectangle(picture, (x0, y0), (x1, y1), YELLOW, thickness)
    for (x, y), label in zip(prompt.points.astype(int).tolist(), prompt.point_labels.tolist(), strict=True):
        cv2.circle(picture, (x, y), 4 * thickness, GREEN if label else RED, -1)
    return picture


def _as_prompt(asked: tuple[tuple[Point, ...], tuple[Point, ...], Box | None], size: Size) -> Prompt:
    points, negatives, box = asked
    for x, y in [*points, *negatives, *([box[:2], box[2:]] if box else [])]:
        if not (0 <= x <= size[1] and 0 <= y <= size[0]):
            raise PromptError(f"({x:g}, {y:g}) is outside the image, which is {size[1]} wide and {size[0]} high.")
    if box and not (box[0] < box[2] and box[1] < box[3]):
        raise PromptError(f"The box {box} is empty.", "Give X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1.")
    return Prompt(
        points=np.array([*points, *negatives], np.float64).reshape(-1, 2),
        point_labels=np.array([1] * len(points) + [0] * len(negatives), np.int64),
        boxes=np.array([box] if box else [], np.float64).reshape(-1, 4),
    )


def _write(path: Path, pixels: NDArray[np.uint8]) -> None:
    try:
        _, encoded = cv2.imencode(path.suffix, pixels)
        path.write_bytes(encoded.tobytes())
    except cv2.error:
        raise OutputError(f"{path} has no ending of an image format.", "Give it the ending .png.") from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.", "Give another place.") from None


def _in_words(masks: list[Mask], model_version: str, output: Path) -> str:
    if not masks:
        return f"{model_version}: nothing found; {output} is empty"
    share = masks[0].bitmap.mean()
    return f"{model_version}: {share:.1%} of the image, predicted IoU {masks[0].score:.2f}, written to {output}"
