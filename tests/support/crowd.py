"""A picture of many separate objects of which each pixel's owner is known."""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from sam_backend.sam.patch import Patch

GROUND = (206, 203, 196)
CELL = 100
"""Pixels on the side of the square in which one object lies."""

Owners = NDArray[np.int32]


def draw(across: int, down: int, seed: int = 0) -> tuple[NDArray[np.uint8], Owners]:
    """Colored shapes on a plain ground, one in each cell.

    Returns:
        uint8 (H, W, 3), and int32 (H, W): whose pixel it is, 0 the ground's, objects from 1 on.
    """
    random = np.random.default_rng(seed)
    height, width = down * CELL, across * CELL
    rgb = np.full((height, width, 3), GROUND, np.uint8)
    owners = np.zeros((height, width), np.int32)
    for number in range(across * down):
        outline = _shape(random, number % 4) + _middle(random, number % across, number // across)
        points = np.rint(outline).astype(np.int32)
        cv2.fillPoly(owners, [points], number + 1)
        cv2.fillPoly(rgb, [points], _color(random))
    return rgb, owners


def _middle(random: np.random.Generator, column: int, row: int) -> NDArray[np.float64]:
    return np.array([column + 0.5, row + 0.5]) * CELL + random.uniform(-9, 9, 2)


def _shape(random: np.random.Generator, kind: int) -> NDArray[np.float64]:
    """Outline (N, 2) around 0: an ellipse, a rectangle, a triangle or a hexagon, turned by any angle."""
    corners = (40, 4, 3, 6)[kind]
    angles = 2 * np.pi * (np.arange(corners) + 0.5) / corners
    axes = random.uniform(22, 34, 2) if kind < 2 else np.full(2, random.uniform(26, 36))
    turn = random.uniform(0, 2 * np.pi)
    outline = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * axes
    return outline @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])


def _color(random: np.random.Generator) -> tuple[int, int, int]:
    """Far from the ground."""
    while True:
        color = random.integers(0, 256, 3)
        if np.abs(color - GROUND).max() > 90:
            red, green, blue = color.tolist()
            return red, green, blue


def found(owners: Owners, patches: Iterable[Patch], least: float) -> int:
    """How many objects have a mask of which the IoU with them is `least` or more."""
    areas = np.bincount(owners.ravel())
    best = np.zeros(len(areas))
    for patch in patches:
        left, top, right, bottom = patch.rectangle
        shared = np.bincount(owners[top:bottom, left:right][patch.shown], minlength=len(areas))
        best = np.maximum(best, shared / (areas + patch.area - shared))
    return int((best[1:] >= least).sum())
