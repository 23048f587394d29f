"""Small objects in a large image, with the built-in model: found with a crop, lost without; all else is untouched."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest

from sam_backend import metrics
from sam_backend.sam.types import Image, Mask, Prompt
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings
from tests.support import scenes
from tests.support.scenes import Bitmap, iou

WIDTH, HEIGHT = 3000, 2000
CENTERS = {"in the middle": (1411, 987), "in a corner": (30, 24), "at the right edge": (2985, 1200)}
LARGE = "large"
Ask = Callable[[str], Prompt]


@cache
def scene() -> scenes.Scene:
    """Ellipses of 40 × 30 pixels, one of them cut by the picture's edge, and a large one."""
    small = {name: (100 * x / WIDTH, 100 * y / HEIGHT, 2000 / WIDTH, 1500 / HEIGHT) for name, (x, y) in CENTERS.items()}
    return scenes.draw(WIDTH, HEIGHT, {LARGE: (75.0, 30.0, 18.0, 22.0)} | small)


def image() -> Image:
    return Image(scene().rgb, "small objects")


@pytest.fixture(scope="module")
def on() -> Segmenter:
    return Segmenter(Settings())


@pytest.fixture(scope="module")
def off() -> Segmenter:
    return Segmenter(Settings(crop_below=0))


def bounds(bitmap: Bitmap) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(bitmap)
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def click(name: str) -> Prompt:
    left, top, right, bottom = bounds(scene().objects[name])
    return Prompt(points=np.array([[(left + right) / 2, (top + bottom) / 2]]), point_labels=np.array([1]))


def box(name: str) -> Prompt:
    return Prompt(boxes=np.array([bounds(scene().objects[name])], np.float64))


def encodes() -> float:
    return metrics.REGISTRY.get_sample_value("sam_encodes_total") or 0.0


def answer(segmenter: Segmenter, prompt: Prompt) -> Bitmap:
    masks = segmenter.segment(image(), prompt)
    assert all(mask.bitmap.shape == (HEIGHT, WIDTH) for mask in masks)
    return masks[0].bitmap if masks else np.zeros((HEIGHT, WIDTH), np.bool_)


@pytest.mark.parametrize("ask", [click, box])
@pytest.mark.parametrize("name", CENTERS)
def test_an_object_of_40_pixels_is_found(on: Segmenter, off: Segmenter, name: str, ask: Ask) -> None:
    truth = scene().objects[name]
    found = iou(answer(on, ask(name)), truth)
    assert found >= 0.8
    assert iou(answer(off, ask(name)), truth) <= found - 0.3


@pytest.mark.parametrize("ask", [click, box])
def test_a_large_object_has_the_same_bytes_with_crops_and_without(on: Segmenter, off: Segmenter, ask: Ask) -> None:
    (one,), (other,) = on.segment(image(), ask(LARGE)), off.segment(image(), ask(LARGE))
    assert iou(one.bitmap, scene().objects[LARGE]) >= 0.9
    assert same(one, other)


def same(one: Mask, other: Mask) -> bool:
    return (one.bitmap.tobytes(), one.low_res_logits.tobytes(), one.score) == (
        other.bitmap.tobytes(),
        other.low_res_logits.tobytes(),
        other.score,
    )


def test_an_answer_does_not_depend_on_what_was_asked_before(on: Segmenter) -> None:
    prompts = [ask(name) for name in ("in the middle", LARGE) for ask in (click, box)]
    first = [on.segment(image(), prompt)[0] for prompt in prompts]
    fresh = Segmenter(Settings())
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda prompt: fresh.segment(image(), prompt)[0], reversed(prompts)))
    assert all(same(one, other) for one, other in zip(first, reversed(again), strict=True))


def test_more_clicks_on_a_small_object_encode_nothing_more(on: Segmenter) -> None:
    x, y = CENTERS["in the middle"]
    answer(on, click("in the middle"))
    before = encodes()
    for points, labels in ([[x, y], [x + 8, y]], [1, 1]), ([[x, y], [x + 8, y], [x + 60, y + 40]], [1, 1, 0]):
        found = answer(on, Prompt(points=np.array(points, np.float64), point_labels=np.array(labels)))
        assert iou(found, scene().objects["in the middle"]) >= 0.8
    assert encodes() == before


def test_a_correction_of_a_small_mask_stays_small(on: Segmenter) -> None:
    truth = scene().objects["in the middle"]
    x, y = CENTERS["in the middle"]
    before = truth.copy()
    before[:, x:] = False
    prompt = Prompt(points=np.array([[x + 10.5, y + 0.5]]), point_labels=np.array([1]))
    (mask,) = on.correct(image(), prompt, before)
    assert mask.bitmap.shape == truth.shape
    assert iou(mask.bitmap, truth) >= 0.8
    assert (mask.bitmap & before).sum() == before.sum()
