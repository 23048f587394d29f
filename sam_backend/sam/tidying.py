"""What becomes of finished masks: without small regions, without shared pixels, in COCO's form.

Source: segment-anything `utils/amg.py`: `remove_small_regions`, `mask_to_rle_pytorch`, `coco_encode_rle`.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.sam.patch import Patch


def without_small_regions(patch: Patch, least: int) -> Patch:
    """Fill holes, then drop islands, of fewer than `least` pixels; the largest island stays.

    Both are 8-connected, and the image's background counts as a hole where it is so small, as in segment-anything.
    `patch` itself where there is nothing to do.
    """
    bitmap = patch.bitmap
    filled, has_holes = _without(bitmap, least, holes=True)
    tidy, has_islands = _without(filled, least, holes=False)
    return Patch.of(tidy) if has_holes or has_islands else patch


def _without(bitmap: NDArray[np.bool_], least: int, *, holes: bool) -> tuple[NDArray[np.bool_], bool]:
    count, regions, stats, _ = cv2.connectedComponentsWithStats((bitmap ^ holes).astype(np.uint8), connectivity=8)
    sizes = stats[1:, cv2.CC_STAT_AREA]
    small = sizes < least
    if not small.any():
        return bitmap, False
    inside = np.zeros(count, np.bool_)
    inside[0] = holes  # what is not looked at: the mask when holes are, the background when islands are
    inside[1:] = small if holes else ~small
    if not inside.any():
        inside[1 + int(np.argmax(sizes))] = True
    return inside[regions], True


def apart(patches: Sequence[Patch], least: float = 0) -> list[tuple[int, Patch]]:
    """Give each pixel to the smallest of the masks that have it.

    Args:
        patches: masks of one image; of equally large ones the first counts as smaller.
        least: a mask of which fewer pixels are left gets none, and leaves them to the larger ones.

    Returns:
        Index of each mask that got pixels, in the given order, and what is left of it.
    """
    taken = np.zeros(patches[0].original_size if patches else (0, 0), np.bool_)
    found: list[tuple[int, Patch]] = []
    for index in sorted(range(len(patches)), key=lambda index: patches[index].area):
        patch = patches[index]
        left, top, right, bottom = patch.rectangle
        theirs = taken[top:bottom, left:right]
        piece = Patch.of(patch.shown & ~theirs, left, top, patch.original_size)
        if piece.area and piece.area >= least:
            theirs |= patch.shown
            found.append((index, piece))
    return sorted(found, key=lambda pair: pair[0])


def segmentation(patch: Patch, output_mode: str) -> Any:
    """A mask as a record holds it: bool (H, W), COCO's uncompressed RLE, or its compressed one.

    Raises:
        ImportError: `coco_rle` is asked for, and pycocotools is not installed.
        ValueError: there is no such mode.
    """
    if output_mode == "binary_mask":
        return patch.bitmap
    counts = uncompressed_rle(patch.bitmap)
    if output_mode == "uncompressed_rle":
        return counts
    if output_mode != "coco_rle":
        raise ValueError(f"There is no output_mode {output_mode!r}.")
    from pycocotools import mask as coco

    encoded = coco.frPyObjects(counts, *counts["size"])
    return encoded | {"counts": encoded["counts"].decode()}


def uncompressed_rle(bitmap: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's RLE: `size` [H, W], and `counts`: lengths of runs, column by column, the first of them outside."""
    values = bitmap.T.reshape(-1)
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    counts = np.diff(np.concatenate([[0], changes, [values.size]]))
    return {"size": list(bitmap.shape), "counts": [0] * bool(values[0]) + counts.tolist()}
