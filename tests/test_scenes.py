"""The drawn scenes: what training, benchmarks and other tests may rely on."""

import numpy as np
import pytest

from model_export.builtin.scenes import HELD_OUT_SEED, Scene, draw_scene, shapes

SEEDS = range(HELD_OUT_SEED + 5000, HELD_OUT_SEED + 5040)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(seed, 256) for seed in SEEDS]


def test_a_seed_always_gives_the_same_scene(scenes: list[Scene]) -> None:
    again = draw_scene(SEEDS[3], 256)
    assert np.array_equal(again.rgb, scenes[3].rgb)
    assert np.array_equal(again.labels, scenes[3].labels)
    assert again.names == scenes[3].names


def test_another_seed_gives_another_scene(scenes: list[Scene]) -> None:
    assert not np.array_equal(scenes[0].rgb[:100, :100], scenes[1].rgb[:100, :100])


def test_the_longer_side_is_the_size_asked_for(scenes: list[Scene]) -> None:
    assert {max(scene.labels.shape) for scene in scenes} == {256}
    assert max(draw_scene(SEEDS[0], 480).labels.shape) == 480
    assert len({scene.labels.shape for scene in scenes}) >= 4, "several aspect ratios"


def test_the_picture_is_rgb_of_the_label_maps_shape(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.rgb.dtype == scene.labels.dtype == np.uint8
        assert scene.rgb.shape == (*scene.labels.shape, 3)


def test_every_object_is_visible_and_of_a_clickable_size(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.names
        assert set(np.unique(scene.labels)) <= set(range(len(scene.names) + 1))
        for mask in scene.masks():
            assert 0.0025 <= mask.mean() <= 0.45


def test_objects_range_from_small_to_large(scenes: list[Scene]) -> None:
    shares = [mask.mean() for scene in scenes for mask in scene.masks()]
    assert min(shares) < 0.006
    assert max(shares) > 0.12


def test_there_are_gray_scenes_and_colored_ones(scenes: list[Scene]) -> None:
    gray = [bool((scene.rgb == scene.rgb[..., :1]).all()) for scene in scenes]
    assert 0.05 < np.mean(gray) < 0.6


def test_objects_differ_from_what_surrounds_them(scenes: list[Scene]) -> None:
    """A mask that lay beside its object would have the background's colors inside."""
    apart = []
    for scene in scenes:
        pixels, around = scene.rgb.astype(float), scene.labels == 0
        if around.any():
            apart += [np.abs(pixels[mask].mean(0) - pixels[around].mean(0)).max() for mask in scene.masks()]
    assert np.median(apart) > 20


@pytest.mark.parametrize("kind", sorted(shapes.KINDS))
def test_each_kind_fits_the_area_and_the_center_asked_for(kind: str) -> None:
    draw, _ = shapes.KINDS[kind]
    rng = np.random.default_rng(7)
    for _ in range(5):
        placed = np.concatenate(shapes.fit(draw(rng), 900.0, (50, 60), 0.3))
        assert np.allclose((placed.min(0) + placed.max(0)) / 2, (50, 60), atol=1e-6)
        assert 900 * 0.95 <= np.prod(np.ptp(placed, axis=0)) <= 900 * 60
