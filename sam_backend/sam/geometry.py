"""Every rounding, scaling and padding between original pixels and input pixels.

Frames: *original* pixels are those of the upright image; *input* pixels those of the image after its longest side was
resized to `image_size`; the *low-resolution* grid is the decoder's own, a quarter of the input in SAM. Sizes are
(H, W), coordinates (x, y). The arithmetic is segment-anything's: `ResizeLongestSide` and `Sam.postprocess_masks`.
"""

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from sam_backend.sam.types import Size

# Stands in the key of each embedding that is kept: count it up when `resize_and_pad` gives other pixels.
PREPROCESSING = 1


def input_size(original_size: Size, image_size: int) -> Size:
    """(H, W) in input pixels: the longest side becomes `image_size`, and no side less than 1."""
    scale = image_size / max(original_size)
    height, width = (max(1, int(side * scale + 0.5)) for side in original_size)
    return height, width


def have_same_proportions(one: Size, other: Size) -> bool:
    """Whether two sizes (H, W) can be those of one picture at two scales, to less than a pixel of the smaller."""
    return abs(one[0] * other[1] - other[0] * one[1]) < max(*one, *other)


def to_input(points: NDArray[np.float64], original_size: Size, input_size: Size) -> NDArray[np.float32]:
    """Move points from original to input pixels.

    Args:
        points: float64 (..., 2), (x, y) in original pixels.
        original_size: (H, W) of the upright image.
        input_size: (H, W) of the resized picture.

    Returns:
        float32 (..., 2), (x, y) in input pixels, unrounded.
    """
    scale = np.array([input_size[1] / original_size[1], input_size[0] / original_size[0]])
    moved: NDArray[np.float32] = (points * scale).astype(np.float32)
    return moved


def resize_and_pad(rgb: NDArray[np.uint8], image_size: int) -> tuple[NDArray[np.uint8], Size]:
    """Resize the longest side to `image_size` and put the picture in the top left corner of a black square.

    The filter is PIL's bilinear one, which antialiases: the one that SAM was trained with.

    Args:
        rgb: uint8 (H, W, 3) in original pixels.
        image_size: side of the square.

    Returns:
        uint8 (1, image_size, image_size, 3), and (H, W) of the picture in input pixels.
    """
    height, width = rgb.shape[:2]
    size = input_size((height, width), image_size)
    canvas = np.zeros((1, image_size, image_size, 3), np.uint8)
    resized = PIL.Image.fromarray(rgb).resize((size[1], size[0]), PIL.Image.Resampling.BILINEAR)
    canvas[0, : size[0], : size[1]] = np.asarray(resized)
    return canvas, size


def low_res_size(grid: Size, input_size: Size, image_size: int) -> Size:
    """(H, W) of the part of the low-resolution `grid` that shows the picture and not the padding, rounded up."""
    height, width = (-(-side * cells // image_size) for side, cells in zip(input_size, grid, strict=True))
    return height, width


def upscale(
    low_res: NDArray[np.float32], input_size: Size, original_size: Size, image_size: int
) -> NDArray[np.float32]:
    """Bring low-resolution logits to original pixels as segment-anything does: to the input, crop, to the original.

    Args:
        low_res: float32 (h, w) logits on the decoder's grid.
        input_size: (H, W) of the picture in input pixels, padding excluded.
        original_size: (H, W) to bring them to.
        image_size: side of the model's square input.

    Returns:
        float32 (H, W) logits in original pixels.
    """
    square = cv2.resize(low_res, (image_size, image_size), interpolation=cv2.INTER_LINEAR)
    picture = square[: input_size[0], : input_size[1]]
    enlarged = cv2.resize(picture, (original_size[1], original_size[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, np.float32)


def upscale_part(
    low_res: NDArray[np.float32], corner: tuple[int, int], grid: Size, input_size: Size, image_size: int
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """A part of the low-resolution `grid` (H, W) in input pixels, without the padding: as `upscale`, but at its rim.

    `corner` is (row, column) of the part's first cell; the second of what is returned is that of its first pixel.
    """
    (down, across), (height, width) = (image_size // grid[0], image_size // grid[1]), low_res.shape
    top, left = corner[0] * down, corner[1] * across
    square = cv2.resize(low_res, (width * across, height * down), interpolation=cv2.INTER_LINEAR)
    return np.asarray(square[: input_size[0] - top, : input_size[1] - left], np.float32), (top, left)


def taps(count: int, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Between which of `count` pixels each of as many as `wanted` lies, as cv2.INTER_LINEAR resizes a side.

    Returns:
        int64 (wanted,), ascending, the pixel before or at it; float32 (wanted,), how far it is on to the next one, 0 to
        1. It is 0 beside the first and the last pixel.
    """
    at = np.clip((np.arange(wanted) + 0.5) * (count / wanted) - 0.5, 0, count - 1)
    before = np.floor(at)
    return before.astype(np.int64), (at - before).astype(np.float32)


def resize_bitmap(bitmap: NDArray[np.bool_], size: Size) -> NDArray[np.bool_]:
    """A mask at another size (H, W) of the same picture: what is covered at least by half is inside."""
    height, width = size
    area = height * width < bitmap.size
    interpolation = cv2.INTER_AREA if area else cv2.INTER_LINEAR
    resized = cv2.resize(bitmap.astype(np.float32), (width, height), interpolation=interpolation)
    return np.asarray(resized >= 0.5)


def in_box(points: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points (N, 2) lie in a box (4,), XYXY, its edges included; both in one frame. Bool (N,)."""
    return np.asarray(((points >= box[:2]) & (points <= box[2:])).all(-1))


def on_bitmap(points: NDArray[np.float64], bitmap: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which points (N, 2), (x, y) in original pixels, lie on a mask (H, W); points outside of it do not. Bool (N,)."""
    columns, rows = np.floor(points).astype(np.int64).T
    height, width = bitmap.shape
    there = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return np.asarray(there & bitmap[rows.clip(0, height - 1), columns.clip(0, width - 1)])


def rows_around(point: NDArray[np.float64], radius: float, size: Size) -> tuple[int, int]:
    """The first row of a mask of `size` (H, W) within `radius` of a point (x, y), and the row behind the last."""
    first, last = np.clip([np.floor(point[1] - radius), np.ceil(point[1] + radius) + 1], 0, size[0])
    return int(first), int(last)


def pixels_under(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """The pixels (N, 2), (x, y), in which points (N, 2) lie."""
    return np.asarray(np.floor(points).astype(np.int64))


Rectangle = tuple[int, int, int, int]


def window(center: NDArray[np.float64], side: int, original_size: Size) -> Rectangle:
    """A square crop (left, top, right, bottom) around a point (2,), (x, y) in original pixels.

    It begins at a multiple of a quarter of its side, so that neighbors share one, and lies within the image; where the
    image is smaller than `side`, so is the crop.
    """
    height, width = original_size
    step = side / 4
    across, down = min(side, width), min(side, height)
    begin = np.rint((center - side / 2) / step) * step
    left, top = np.clip(begin, 0, (width - across, height - down)).astype(np.int64).tolist()
    return left, top, left + across, top + down


def crop_around(corners: NDArray[np.float64], image_size: int) -> tuple[NDArray[np.float64], int]:
    """Middle (2,) and side of the square to cut out for an object of which some points (N, 2) are known.

    The side is three times the object's, or a little more: `image_size` times a power of the square root of 2, so that
    objects of similar sizes share crops; never less than `image_size`, because a crop that must be enlarged shows no
    more.
    """
    low, high = corners.min(axis=0), corners.max(axis=0)
    wanted = 3 * float((high - low).max()) / image_size
    steps = np.ceil(2 * np.log2(max(wanted, 1.0)))
    return (low + high) / 2, int(image_size * 2 ** (steps / 2))


def bounds(bitmap: NDArray[np.bool_], original_size: Size) -> NDArray[np.float64]:
    """Bounds (4,), XYXY in original pixels, of a mask (h, w) that shows all of the picture, at any scale.

    NaN when it is empty.
    """
    rows, columns = np.flatnonzero(bitmap.any(1)), np.flatnonzero(bitmap.any(0))
    if not rows.size:
        return np.full(4, np.nan)
    cells = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
    height, width = original_size
    return np.asarray(cells * np.tile([width / bitmap.shape[1], height / bitmap.shape[0]], 2))


def to_original(box: NDArray[np.float64], input_size: Size, original_size: Size) -> NDArray[np.float64]:
    """Move a box (4,), XYXY, from input to original pixels, unrounded."""
    return np.asarray(box * np.tile([original_size[1] / input_size[1], original_size[0] / input_size[0]], 2))


def shares(bitmap: NDArray[np.bool_], input_size: Size, grid: Size, image_size: int) -> NDArray[np.float32]:
    """How much of each cell of the low-resolution `grid` (h, w) a mask (H, W) covers: `upscale`'s way back.

    Returns:
        float32 (h, w) of 0 to 1; 0 on the padding.
    """
    square = np.zeros((image_size, image_size), np.float32)
    interpolation = cv2.INTER_AREA if input_size[0] * input_size[1] < bitmap.size else cv2.INTER_LINEAR
    resized = cv2.resize(bitmap.astype(np.uint8) * 255, (input_size[1], input_size[0]), interpolation=interpolation)
    square[: input_size[0], : input_size[1]] = resized / np.float32(255)
    return np.asarray(cv2.resize(square, (grid[1], grid[0]), interpolation=cv2.INTER_AREA), np.float32)


def cells_per_pixel(original_size: Size, input_size: Size, image_size: int, grid: Size) -> NDArray[np.float64]:
    """(x, y): cells of the low-resolution `grid` (h, w) on an original pixel's side; points scale by it, unrounded."""
    pixels = np.array([input_size[1] / original_size[1], input_size[0] / original_size[0]])
    return pixels * (grid[1] / image_size, grid[0] / image_size)


def half_cell(cells_per_pixel: NDArray[np.float64]) -> int:
    """Half of a cell's side in whole original pixels, at least 1."""
    return max(1, round(0.5 / float(cells_per_pixel.max())))


def cells_around(bitmap: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """Rows and columns of a mask (h, w) that is not empty, with `margin` more on each side where there are."""
    rows, columns = np.flatnonzero(bitmap.any(1)), np.flatnonzero(bitmap.any(0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )


def in_cells(points: NDArray[np.float64], size: Size, grid: Size) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns (N,) of the cells in which points lie.

    Args:
        points: float64 (N, 2), (x, y) in the pixels of a picture of `size`.
        size: (H, W) of the picture.
        grid: (h, w) of cells that show all of it.
    """
    cells = np.floor(points * (grid[1] / size[1], grid[0] / size[0])).astype(np.int64)
    return cells[:, 1].clip(0, grid[0] - 1), cells[:, 0].clip(0, grid[1] - 1)
