"""Pictures of what was found."""

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sam_backend.labelstudio import bitmaps, images, results
from sam_backend.labelstudio.choice import Choice
from sam_backend.labelstudio.config import Control
from sam_backend.labelstudio.results import Target
from sam_backend.prelabel import preview
from sam_backend.sam.types import Image, Patch
from tests.support import scenes


def region(kind: str, bitmap: scenes.Bitmap) -> dict[str, Any]:
    control = Control("answer", "image", f"{kind}labels")
    (found,) = results.written(Patch.of(bitmap), 0.9, Target(Choice(control, ("Thing",))))
    return found


def image_of(scene: scenes.Scene) -> Image:
    return Image(scene.rgb, images.digest(scene.rgb))


@pytest.mark.parametrize("kind", ["brush", "bitmask", "polygon", "ellipse"])
def test_a_region_of_each_kind_is_read_back_as_the_mask_that_it_was_made_of(kind: str) -> None:
    scene = scenes.draw(300, 200, scenes.CENTER)
    found = bitmaps.bitmap(region(kind, scene.objects["center"]), (200, 300))
    assert scenes.iou(found, scene.objects["center"]) > (0.999 if kind in {"brush", "bitmask"} else 0.97)


def test_a_rectangle_is_read_back_as_the_box_of_its_mask() -> None:
    bitmap = np.zeros((200, 300), np.bool_)
    bitmap[40:90, 70:210] = True
    assert scenes.iou(bitmaps.bitmap(region("rectangle", bitmap), (200, 300)), bitmap) > 0.95


def test_masks_are_tinted_in_different_colors_and_what_is_beside_them_is_not() -> None:
    scene = scenes.draw(300, 200, scenes.STAGE)
    left, right = (scene.objects[name] for name in ("left", "bottom right"))
    drawn = preview.draw(image_of(scene), [region("brush", left), region("brush", right)])
    changed = (drawn != scene.rgb).any(2)
    assert changed[left | right].mean() > 0.95
    assert not changed[~(left | right)].any()
    tints = [drawn[mask].mean(0) - scene.rgb[mask].mean(0) for mask in (left, right)]
    assert np.abs(tints[0] - tints[1]).max() > 30


def test_a_large_image_is_made_smaller_and_a_small_one_is_not() -> None:
    sizes = [(4000, 50), (1600, 1000)]
    shapes = [preview.draw(Image(np.zeros((*size, 3), np.uint8), ""), []).shape[:2] for size in sizes]
    assert shapes == [(1600, 20), (1600, 1000)]


def test_equal_names_in_different_folders_have_different_files(tmp_path: Path) -> None:
    scene = scenes.draw(30, 20, scenes.CENTER)
    for number, key in enumerate(["a/1.png", "b/1.png", "https://example.org/x/1.png?signature=a/b", "b/1.png"]):
        path = preview.write(tmp_path / "seen", key, number // 3, image_of(scene), [])
        assert path.name.startswith("1-")
        with PIL.Image.open(path) as picture:
            assert picture.size == (30, 20)
    assert len(list((tmp_path / "seen").iterdir())) == 4
