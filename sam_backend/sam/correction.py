"""A mask that stands is corrected by clicks: a positive one adds a part, a negative one takes a part away.

Each click is decoded on its own, with what stands by then as `mask_input`; of the answer only the part under the click
is taken over, so that all else stays as it was, to the pixel. A model that has learned to refine from clicks that
began with a positive one takes a lone negative click for "nothing": it is shown, as a positive point, the middle of
what shall stay.
"""

import logging
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.sam import geometry
from sam_backend.sam.folder import ModelInfo
from sam_backend.sam.types import Embedding, Mask, Patch, Prompt

logger = logging.getLogger(__name__)

Bitmap = NDArray[np.bool_]
Points = NDArray[np.float64]
Decode = Callable[[Prompt], Mask]

MAGNITUDE = 5.0
"""Logits of what is surely inside or outside; anything from 2 to 20 gives the same answers."""
REACH = 2.0
"""How many pixels a part may be away from its click."""
LEAST_REST = 0.2
"""What a negative click is on is the mask itself and no part of it, if it leaves less than this share of it."""
MOSTLY = 0.5
"""What a negative click is on can be taken away where more than this share of it is in the mask."""
MOST_CLICKS = 64
"""Clicks after these change nothing, so that a request has a bounded cost."""


def correct(decode: Decode, info: ModelInfo, embedding: Embedding, before: Bitmap, prompt: Prompt) -> Mask:
    """Let clicks correct a mask, one after the other.

    Args:
        decode: decodes one prompt, which may have a `mask_input`, and finishes its mask; a single point without one
            by the best of the three masks.
        info: the model's.
        embedding: the image's.
        before: bool (H, W) in original pixels.
        prompt: its points, in order; nothing else of it counts.

    Returns:
        The corrected mask; its score is the least of those that the model predicted for what was used, and 1 where
        no click changed anything. A click on the side that it asks for, and one to which the model has no answer,
        changes nothing.

    Raises:
        PromptError, ModelError: as `decode`.
    """
    bitmap, used = before, []
    for point, label in zip(prompt.points[:MOST_CLICKS], prompt.point_labels[:MOST_CLICKS], strict=True):
        if geometry.on_bitmap(point[None], bitmap)[0] == bool(label):
            continue
        step = _add if label else _remove
        bitmap, mask = next(step(decode, info, embedding, bitmap, point), (bitmap, None))
        if mask is None:
            logger.info("A click at %s has no part of its own; it changes nothing.", point.tolist())
        else:
            used.append(mask)
    return Mask(
        patch=Patch.of(bitmap),
        score=min((mask.score for mask in used), default=1.0),
        stability=min((mask.stability for mask in used), default=1.0),
        low_res_logits=as_logits(bitmap, info, embedding)[0],
    )


def as_logits(before: Bitmap, info: ModelInfo, embedding: Embedding) -> NDArray[np.float32]:
    """A mask as `mask_input`.

    Args:
        before: bool (H, W) in original pixels.
        info: the model's.
        embedding: the image's.

    Returns:
        float32 (1, h, w): -MAGNITUDE outside and on the padding, MAGNITUDE inside, on the edge between them.
    """
    inside = geometry.shares(before, embedding.input_size, info.low_res_size, info.image_size)
    logits: NDArray[np.float32] = MAGNITUDE * (2 * inside - 1)
    return logits[None]


def apply(before: Bitmap, after: Bitmap, points: Points, labels: NDArray[np.int64], rim: int = 0) -> Bitmap:
    """Of all that differs between two masks, take over what clicks ask for.

    Args:
        before: bool (H, W), what stands.
        after: bool (H, W), what the model would have stand.
        points: float64 (N, 2), (x, y) in original pixels.
        labels: int64 (N,), 1 adds, 0 takes away.
        rim: what is at most twice as thick counts as a difference of outlines; no part reaches through it.

    Returns:
        bool (H, W): `before`, and of `after` the connected parts that it has more at positive points, without the
        parts that it has less at negative points.
    """
    result = before.copy()
    for point, label in zip(points, labels, strict=True):
        part = _part(after & ~before if label else before & ~after, point, rim)
        if part is not None:
            result[part] = bool(label)
    return result


def _add(
    decode: Decode, info: ModelInfo, embedding: Embedding, before: Bitmap, point: Points
) -> Iterator[tuple[Bitmap, Mask]]:
    """What a positive click may add: by the mask and the click; else by the mask, its middle and the click.

    Not what the click alone is on: next to a mask that is nearly right it is mostly something else.
    """
    mask_input = as_logits(before, info, embedding)
    middle = _middle(info, embedding, _inside(mask_input), point)
    for anchor in (None, middle):
        mask = decode(_click(point, 1, mask_input, anchor))
        after = apply(before, mask.bitmap, point[None], np.array([1]), _rim(info, embedding))
        if geometry.on_bitmap(point[None], after)[0]:
            yield after, mask


def _remove(
    decode: Decode, info: ModelInfo, embedding: Embedding, before: Bitmap, point: Points
) -> Iterator[tuple[Bitmap, Mask]]:
    """What a negative click may take away: by the mask, its middle and the click; else what the click alone is on.

    Never the middle of what shall stay.
    """
    under = decode(_click(point))
    is_part = geometry.on_bitmap(point[None], under.bitmap)[0] and _share(before, ~under.bitmap) > LEAST_REST
    mask_input = as_logits(before, info, embedding)
    inside = _inside(mask_input)
    rest = inside & ~(under.low_res_logits > info.mask_threshold) if is_part else inside
    stays = _middle(info, embedding, rest if rest.any() else inside, point)
    refined = decode(_click(point, 0, mask_input, stays))
    candidates = [(refined, refined.bitmap)]
    if is_part and _share(under.bitmap, before) > MOSTLY:
        candidates.append((under, ~under.bitmap))
    for mask, after in candidates:
        result = apply(before, after, point[None], np.array([0]), _rim(info, embedding))
        if not geometry.on_bitmap(point[None], result)[0] and geometry.on_bitmap(stays[None], result)[0]:
            yield result, mask


def _share(part: Bitmap, of: Bitmap) -> float:
    """Which share of a mask lies on another."""
    return int(np.count_nonzero(part & of)) / max(1, int(np.count_nonzero(part)))


def _inside(mask_input: NDArray[np.float32]) -> Bitmap:
    """The cells, bool (h, w), that a mask covers by half; of one too small for that, those that it touches."""
    cells: Bitmap = mask_input[0] > 0
    return cells if cells.any() else np.asarray(mask_input[0] > -MAGNITUDE)


def _middle(info: ModelInfo, embedding: Embedding, inside: Bitmap, point: Points) -> Points:
    """The middle of a low-resolution mask, away from the click, in original pixels."""
    scale = _scale(info, embedding)
    return _deepest(inside, point * scale) / scale


def _deepest(inside: Bitmap, away_from: Points) -> Points:
    """The middle (x, y) of the cell that is farthest from the edge, and from a point (x, y), the latter half."""
    walled = np.zeros((inside.shape[0] + 2, inside.shape[1] + 2), np.uint8)
    walled[1:-1, 1:-1] = inside
    depth = cv2.distanceTransform(walled, cv2.DIST_L2, 5)[1:-1, 1:-1]
    rows, columns = np.indices(inside.shape)
    away = np.hypot(columns + 0.5 - away_from[0], rows + 0.5 - away_from[1])
    row, column = np.unravel_index(int(np.minimum(depth, away / 2).argmax()), inside.shape)
    return np.array([column + 0.5, row + 0.5])


def _click(
    point: Points,
    label: int = 1,
    mask_input: NDArray[np.float32] | None = None,
    anchor: Points | None = None,
) -> Prompt:
    """One click, before it a positive `anchor` if there is one."""
    points, labels = ([point], [label]) if anchor is None else ([anchor, point], [1, label])
    return Prompt(points=np.array(points), point_labels=np.array(labels, np.int64), mask_input=mask_input)


def _rim(info: ModelInfo, embedding: Embedding) -> int:
    return geometry.half_cell(_scale(info, embedding))


def _scale(info: ModelInfo, embedding: Embedding) -> Points:
    size = embedding.original_size, embedding.input_size
    return geometry.cells_per_pixel(*size, info.image_size, info.low_res_size)


def _part(region: Bitmap, point: Points, rim: int) -> Bitmap | None:
    """The connected part of a region at the point, without what hangs on to it by its rim; None where none is near."""
    whole = _component(region, point)
    if whole is None or not rim:
        return whole
    left, top, width, height = cv2.boundingRect(whole.astype(np.uint8))
    # A pixel of outside all around, where the picture goes on, so that the part's own border is one.
    there = slice(max(0, top - 1), top + height + 1), slice(max(0, left - 1), left + width + 1)
    whole[there] = _without_rim(whole[there], point - (there[1].start, there[0].start), rim)
    return whole


def _without_rim(whole: Bitmap, point: Points, rim: int) -> Bitmap:
    """What is left of a part, where the point is, when all that is at most twice as thick as `rim` falls off."""
    kernel = np.ones((2 * rim + 1, 2 * rim + 1), np.uint8)
    solid = _component(cv2.morphologyEx(whole.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0, point)
    return whole if solid is None else np.asarray(whole & (cv2.dilate(solid.astype(np.uint8), kernel) > 0))


def _component(region: Bitmap, point: Points) -> Bitmap | None:
    """The pixels that are connected (by their sides) with the one under the point, or with the nearest in reach."""
    first, last = geometry.rows_around(point, REACH, (region.shape[0], region.shape[1]))
    rows, columns = np.nonzero(region[first:last])
    away = np.hypot(columns + 0.5 - point[0], rows + first + 0.5 - point[1])
    if not away.size or away.min() > REACH:
        return None
    nearest = int(away.argmin())
    filled = region.astype(np.uint8)
    cv2.floodFill(filled, None, (int(columns[nearest]), int(rows[nearest]) + first), (2,))
    return np.asarray(filled == 2)
