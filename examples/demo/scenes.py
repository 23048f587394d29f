"""The example scenes. `python -m examples.demo.scenes FOLDER` draws them into a folder as JPEG files."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from examples.demo.drawing import Color, Drawing, Floats, Thing, cloth, draw, sand, wood

EXIF_ORIENTATION = 0x0112
TURN_RIGHT = 6  # the camera was held upright: viewers turn the picture by 90° clockwise


def _turned(points: Floats, center: tuple[float, float], degrees: float) -> Floats:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(points @ turn + np.asarray(center), np.float32)


def _polar(radius: Floats) -> Floats:
    angle = np.linspace(0, 2 * np.pi, len(radius), endpoint=False)
    return np.asarray(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), np.float32)


def round_fruit(center: tuple[float, float], size: float, color: Color, blush: Color) -> Thing:
    """An apple, an orange: nearly a circle, a little dented above and below."""
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    dent = 0.05 * np.exp(-(((angle - 1.5 * np.pi) / 0.28) ** 2)) + 0.03 * np.exp(-(((angle - 0.5 * np.pi) / 0.3) ** 2))
    radius = np.asarray(size * (1 - dent + 0.015 * np.cos(2 * angle)), np.float32)
    return Thing("Fruit", _turned(_polar(radius), center, 0), color, blush, gloss=0.3)


def pear(center: tuple[float, float], size: float, degrees: float, color: Color, blush: Color) -> Thing:
    """A pear, or a lemon's cousin: wide below, narrow above."""
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    width = size * (0.62 + 0.3 * np.sin(angle)) * np.cos(angle)
    outline = np.stack([width, size * 1.05 * np.sin(angle)], axis=1)
    return Thing("Fruit", _turned(outline.astype(np.float32), center, degrees), color, blush, gloss=0.25)


def leaf(center: tuple[float, float], size: float, degrees: float, color: Color, blush: Color) -> Thing:
    """A pointed leaf with veins, lying flat."""
    along = np.concatenate([np.linspace(-1, 1, 80), np.linspace(1, -1, 80)])
    side = np.sign(np.arange(160) - 79.5)
    width = 0.42 * (1 - along**2) * (1 - 0.25 * along) * side
    outline = _turned((size * np.stack([along, width], axis=1)).astype(np.float32), center, degrees)
    return Thing("Leaf", outline, color, blush, gloss=0.08, flatness=3.0, veins=True)


def stone(center: tuple[float, float], size: float, seed: int, color: Color, blush: Color) -> Thing:
    """A pebble with an outline of its own for each seed."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    waves = sum(rng.normal(0, 0.11 / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (2, 3, 4, 5))
    outline = _polar(np.asarray(size * (1 + waves), np.float32)) * np.array([1.15, 0.87], np.float32)
    return Thing("Stone", _turned(outline, center, rng.uniform(0, 180)), color, blush, gloss=0.12, flatness=1.5)


RED, ORANGE, GREEN, YELLOW = (206, 38, 40), (240, 140, 30), (140, 172, 50), (232, 204, 60)


def fruit() -> Drawing:
    """Fruit and leaves on a wooden table, 1200×800."""
    things = (
        leaf((250, 640), 150, -20, (50, 110, 48), (84, 146, 60)),
        round_fruit((330, 320), 175, RED, (226, 96, 40)),
        pear((610, 430), 190, 14, GREEN, (198, 190, 80)),
        round_fruit((900, 300), 150, ORANGE, (250, 168, 50)),
        leaf((940, 620), 170, 24, (150, 80, 26), (196, 130, 40)),
        stone((600, 690), 70, 3, (120, 122, 126), (164, 160, 150)),
    )
    return draw(wood, (800, 1200), things, seed=1)


def pebbles() -> Drawing:
    """Stones and one leaf on sand, 1000×750: some touch, some are hardly darker than the sand."""
    things = (
        stone((250, 230), 130, 11, (92, 96, 104), (140, 140, 140)),
        stone((500, 300), 110, 12, (150, 128, 104), (186, 160, 130)),
        stone((740, 220), 120, 13, (60, 62, 70), (96, 98, 104)),
        stone((340, 520), 120, 14, (182, 172, 156), (214, 204, 188)),
        stone((620, 540), 105, 15, (120, 84, 66), (160, 118, 90)),
        leaf((820, 540), 130, 60, (176, 60, 34), (214, 120, 44)),
    )
    return draw(sand, (750, 1000), things, seed=2)


def leaves() -> Drawing:
    """Leaves over each other on cloth, 1200×900."""
    things = (
        leaf((380, 330), 240, 35, (62, 120, 50), (110, 160, 66)),
        leaf((760, 360), 230, -40, (190, 120, 30), (222, 170, 60)),
        leaf((560, 620), 220, 5, (150, 46, 34), (200, 86, 44)),
        round_fruit((960, 660), 110, RED, (176, 30, 60)),
        stone((220, 690), 90, 21, (104, 110, 120), (150, 152, 156)),
    )
    return draw(cloth, (900, 1200), things, seed=3)


def upright() -> Drawing:
    """A high picture, 800×1200: it is stored lying down, with the EXIF orientation that turns it upright."""
    things = (
        round_fruit((290, 330), 165, YELLOW, (240, 222, 120)),
        pear((500, 640), 200, -20, (168, 60, 56), (212, 130, 60)),
        leaf((250, 930), 180, -30, (54, 108, 60), (96, 150, 76)),
        stone((600, 1000), 85, 31, (130, 126, 122), (172, 166, 156)),
    )
    return draw(wood, (1200, 800), things, seed=4)


SCENES: dict[str, Callable[[], Drawing]] = {"fruit": fruit, "leaves": leaves, "pebbles": pebbles, "upright": upright}


def save(scene: Drawing, file: Path | BinaryIO, *, lying: bool = False) -> None:
    """Write the scene as JPEG; `lying` stores it turned to the left, with the EXIF orientation that undoes it."""
    exif = Image.Exif()
    image = Image.fromarray(scene.rgb)
    if lying:
        image = image.transpose(Image.Transpose.ROTATE_90)
        exif[EXIF_ORIENTATION] = TURN_RIGHT
    image.save(file, "JPEG", quality=88, exif=exif)


def main(folder: Path) -> None:
    for name, scene in SCENES.items():
        save(scene(), folder / f"{name}.jpg", lying=name == "upright")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
