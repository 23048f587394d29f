"""Where automatic mode looks: crops of the image, and a grid of points in each.

Source: segment-anything `utils/amg.py`: `generate_crop_boxes`, `build_all_layer_point_grids`.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.sam.geometry import Rectangle
from sam_backend.sam.types import Size

Points = NDArray[np.float64]


def crops(original_size: Size, layers: int, overlap_ratio: float) -> list[tuple[Rectangle, int]]:
    """The image, then each layer's crops, left ones first, with the number of their layer.

    Args:
        original_size: (H, W) of the image.
        layers: how many layers of crops; the n-th has 2^n a side.
        overlap_ratio: share of the shorter side by which the first layer's crops overlap.

    Returns:
        (left, top, right, bottom) in original pixels, right and bottom behind the last one; and 0 for the image.
    """
    height, width = original_size
    found: list[tuple[Rectangle, int]] = [((0, 0, width, height), 0)]
    for layer in range(1, layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(height, width) * (2 / count))
        across, down = (_side(length, count, overlap) for length in (width, height))
        begins = product(range(count), repeat=2)
        for left, top in (((across - overlap) * x, (down - overlap) * y) for x, y in begins):
            found.append(((left, top, min(left + across, width), min(top + down, height)), layer))
    return [(crop, layer) for crop, layer in found if crop[0] < crop[2] and crop[1] < crop[3]]


def _side(length: int, count: int, overlap: int) -> int:
    """How long `count` overlapping crops must be to cover `length`, rounded up."""
    return -(-(overlap * (count - 1) + length) // count)


def points(parameters: AutomaticSettings, layer: int) -> Points:
    """A layer's points, float64 (N, 2), (x, y) from 0 to 1 of the crop; row by row where the grid is regular."""
    if parameters.point_grids is not None:
        return np.array(parameters.point_grids[layer], np.float64).reshape(-1, 2)
    a_side = int((parameters.points_per_side or 0) / parameters.crop_n_points_downscale_factor**layer)
    return regular(max(1, a_side))


def regular(a_side: int) -> Points:
    """`a_side` squared points in the middles of as many equal cells, row by row."""
    middles = np.linspace(1 / (2 * a_side), 1 - 1 / (2 * a_side), a_side)
    return np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)


def scattered(grid: Points) -> NDArray[np.int64]:
    """An order of a grid's points (N, 2) in which each is far from those before it: first to last halving distances.

    Bits of the numbers of column and row are interleaved, the lowest first, so that any beginning covers the image.
    """
    places = np.stack([np.unique(values, return_inverse=True)[1] for values in grid.T], axis=-1)
    ranks = np.zeros(len(grid), np.int64)
    for bit in range(int(places.max(initial=0)).bit_length()):
        x, y = (places >> bit & 1).T
        ranks = ranks * 4 + (x ^ y) * 2 + y
    return np.lexsort((np.arange(len(grid)), ranks))
