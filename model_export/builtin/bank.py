"""A folder of drawn scenes, so that training reads pictures instead of drawing them.

One file per seed, `00001234.npy`: uint8 (H, W, 4), the picture's RGB and the label map. Files appear whole or not
at all, so a trainer may read while the bank still grows.
"""

import argparse
import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from model_export.builtin.scenes import HELD_OUT_SEED, draw_scene


def _path(folder: Path, seed: int) -> Path:
    return folder / f"{seed:08d}.npy"


def add_scene(folder: Path, seed: int, size: int = 512) -> None:
    """Draw the scene of `seed` into the bank, unless it is there."""
    path = _path(folder, seed)
    if path.exists():
        return
    scene = draw_scene(seed, size)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, np.dstack([scene.rgb, scene.labels]))
    partial.replace(path)


def scene_files(folder: Path) -> list[Path]:
    """The scenes that are there now, by seed."""
    return sorted(folder.glob("*.npy"))


def load_scene(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """`rgb` uint8 (H, W, 3) and `labels` uint8 (H, W) of one file of the bank."""
    both = np.load(path)
    return both[..., :3], both[..., 3]


def main() -> None:
    """`python -m model_export.builtin.bank FOLDER --scenes N`."""
    parser = argparse.ArgumentParser(prog="python -m model_export.builtin.bank", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=6000, help="how many, from seed --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--size", type=int, default=512, help="the longer side, pixels")
    options = parser.parse_args()
    if options.first + options.scenes > HELD_OUT_SEED:
        parser.error(f"seeds of {HELD_OUT_SEED} and above are held out for measuring")
    options.folder.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    for seed in tqdm(range(options.first, options.first + options.scenes), unit="scene"):
        add_scene(options.folder, seed, options.size)


if __name__ == "__main__":
    main()
