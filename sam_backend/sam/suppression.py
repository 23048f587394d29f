"""Non-maximal suppression: of masks with nearly the same box, the best one stays."""

import numpy as np
from numpy.typing import NDArray


def suppress(boxes: NDArray[np.float64], scores: NDArray[np.float64], threshold: float) -> list[int]:
    """Keep the best boxes.

    Args:
        boxes: float64 (N, 4), XYXY in one frame.
        scores: float64 (N,), better is higher; of equal ones the first wins.
        threshold: a box that overlaps a better one by more than this IoU is dropped.

    Returns:
        Indices of what is kept, best first, as torchvision's `nms` gives them.
    """
    kept: list[int] = []
    left = np.argsort(-scores, kind="stable")
    while left.size:
        best, left = left[0], left[1:]
        kept.append(int(best))
        left = left[~(_iou(boxes[best], boxes[left]) > threshold)]
    return kept


def _iou(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of one box (4,) with others (N, 4); 0 where both are empty."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=-1) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))
