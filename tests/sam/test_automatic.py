"""From proposals to records: what is kept of what was found. The decoder is one that knows what was drawn."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.sam import automatic, grids
from sam_backend.sam.automatic import AutomaticMask, Found
from sam_backend.sam.patch import Patch
from sam_backend.sam.points import Answers, Decode
from sam_backend.sam.proposals import Scene
from sam_backend.sam.types import Image, Size
from sam_backend.sam.views import View, crop, whole
from tests.support import logits as drawn

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Thing:
    """A rectangle in original pixels, and the IoU that is predicted for it."""

    box: Box
    iou: float = 0.95


def generate(size: Size, things: Sequence[Thing], **parameters: Any) -> Found:
    """Each point is answered with three things that it lies on, the smallest first; nothing where there is none."""
    settings = AutomaticSettings(**{"points_per_side": 16, **parameters})
    image = drawn.image(size)

    def open_view(view: View) -> tuple[Scene, Decode]:
        return drawn.of_view(view, settings), lambda points: decode(view, things, points)

    return automatic.generate(image, settings, views(image, settings), open_view)


def views(image: Image, settings: AutomaticSettings) -> list[tuple[View, int]]:
    crops = grids.crops(image.original_size, settings.crop_n_layers, settings.crop_overlap_ratio)
    return [(crop(image, rectangle) if layer else whole(image), layer) for rectangle, layer in crops]


def decode(view: View, things: Sequence[Thing], points: NDArray[np.float64]) -> Answers:
    logits = np.full((len(points), 3, drawn.GRID, drawn.GRID), -drawn.SHARP, np.float32)
    ious = np.zeros((len(points), 3), np.float32)
    offset = np.tile(view.rectangle[:2], 2)
    by_size = sorted(things, key=lambda thing: (thing.box[2] - thing.box[0]) * (thing.box[3] - thing.box[1]))
    for number, (x, y) in enumerate(points + offset[:2]):
        hit = [thing for thing in by_size if thing.box[0] < x < thing.box[2] and thing.box[1] < y < thing.box[3]]
        for index, thing in enumerate((hit + 2 * hit[-1:])[:3]):
            logits[number, index] = drawn.box(view.image.original_size, *(np.array(thing.box) - offset))
            ious[number, index] = thing.iou
    return Answers(
        ious,
        lambda wanted: ((int(index), logits[index]) for index in np.flatnonzero(wanted)),
        lambda wanted, *cells: ((int(index), logits[index][..., *cells]) for index in np.flatnonzero(wanted)),
    )


SIZE = (256, 256)
SMALL, MIDDLE, LARGE = Thing((40, 40, 72, 72), 0.9), Thing((20, 20, 120, 120), 0.92), Thing((4, 4, 252, 252), 0.94)
APART = [Thing((x, y, x + 32, y + 32), 0.9 + x / 10_000) for x in (20, 84, 148) for y in (20, 84, 148)]


def corners(mask: AutomaticMask) -> list[int]:
    return [round(edge / 4) * 4 for edge in mask.patch.rectangle]


def test_each_thing_is_found_once_the_best_first() -> None:
    found = generate(SIZE, [SMALL, MIDDLE, LARGE])
    assert [corners(mask) for mask in found.masks] == [[*thing.box] for thing in (LARGE, MIDDLE, SMALL)]
    assert [mask.predicted_iou for mask in found.masks] == pytest.approx([0.94, 0.92, 0.9])
    assert (found.points, found.left_out) == (256, 0)


def test_where_nothing_is_nothing_is_found() -> None:
    found = generate(SIZE, [])
    assert found.masks == ()
    assert (found.points, found.unlikely, found.unstable) == (256, 3 * 256, 0)


def test_a_record_has_the_keys_and_types_of_segment_anything() -> None:
    [mask] = generate(SIZE, [SMALL]).masks
    record = mask.record("uncompressed_rle")
    assert list(record) == [
        *("segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box")
    ]
    types = {key: type(value) for key, value in record.items()}
    numbers = {"area": int, "predicted_iou": float, "stability_score": float}
    assert types == dict.fromkeys(record, list) | numbers | {"segmentation": dict}
    assert json.loads(json.dumps(record)) == record
    assert record["crop_box"] == [0, 0, 256, 256]
    [[x, y]] = record["point_coords"]
    assert 40 < x < 72
    assert 40 < y < 72
    bitmap = mask.record()["segmentation"]
    assert (bitmap.dtype, bitmap.shape, int(bitmap.sum())) == (np.bool_, SIZE, record["area"])


@pytest.mark.parametrize(("cap", "kept", "left_out"), [(4, 4, 5), (9, 9, 0), (100, 9, 0), (0, 9, 0)])
def test_of_too_many_the_best_stay(cap: int, kept: int, left_out: int) -> None:
    found = generate(SIZE, APART, max_regions=cap)
    assert (len(found.masks), found.left_out) == (kept, left_out)
    best = sorted((thing.iou for thing in APART), reverse=True)[:kept]
    assert [mask.predicted_iou for mask in found.masks] == pytest.approx(best)


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({"min_area": 0.1}, [LARGE, MIDDLE]),
        ({"max_area": 0.1}, [SMALL]),
        ({"min_area": 0.1, "max_area": 0.2}, [MIDDLE]),
        ({"min_area": 1.0}, []),
        ({"max_area": 0.0}, []),
    ],
)
def test_masks_that_are_too_small_or_too_large_are_dropped(limits: dict[str, float], kept: list[Thing]) -> None:
    found = generate(SIZE, [SMALL, MIDDLE, LARGE], **limits)
    assert [corners(mask) for mask in found.masks] == [[*thing.box] for thing in kept]


def test_the_cap_counts_what_has_the_right_size() -> None:
    found = generate(SIZE, [SMALL, MIDDLE, LARGE], max_area=0.2, max_regions=1)
    assert ([corners(mask) for mask in found.masks], found.left_out) == ([[*MIDDLE.box]], 1)


def test_masks_that_do_not_overlap_cover_what_the_others_cover() -> None:
    things = [SMALL, MIDDLE, LARGE]
    overlapping = generate(SIZE, things).masks
    apart = generate(SIZE, things, overlapping=False).masks
    total = sum(mask.patch.bitmap.astype(int) for mask in apart)
    assert np.array_equal(total, np.any([mask.patch.bitmap for mask in overlapping], axis=0))
    assert [mask.predicted_iou for mask in apart] == [mask.predicted_iou for mask in overlapping]
    assert np.array_equal(apart[2].patch.bitmap, overlapping[2].patch.bitmap), "the smallest has all that it had"


def test_what_others_leave_too_little_of_leaves_it_to_larger_ones() -> None:
    rim = Thing((38, 38, 74, 74), 0.93)
    found = generate(SIZE, [SMALL, rim, LARGE], overlapping=False, min_area=0.01, box_nms_thresh=0.95)
    assert [corners(mask) for mask in found.masks] == [[*LARGE.box], [*SMALL.box]]
    covered = np.any([mask.patch.bitmap for mask in found.masks], axis=0)
    assert covered[40:72, 40:72].all()
    assert covered[6:250, 6:250].all()


def test_small_holes_are_filled_where_it_is_asked_for() -> None:
    speck = Thing((100, 100, 108, 108), 0.99)
    plain, tidy = (generate(SIZE, [LARGE], min_mask_region_area=least).masks[0] for least in (0, 65536))
    assert plain.patch.area < tidy.patch.area == SIZE[0] * SIZE[1], "its surroundings are a hole of fewer pixels"
    found = generate(SIZE, [speck], min_mask_region_area=100, stability_score_thresh=0.5)
    assert len(found.masks) == 1, "the largest island stays"


def test_of_a_thing_seen_in_two_layers_the_smaller_crops_mask_stays() -> None:
    thing = Thing((60, 60, 140, 140))
    found = generate((512, 512), [thing], crop_n_layers=1)
    [mask] = found.masks
    assert mask.crop != (0, 0, 512, 512)
    assert np.abs(np.array(mask.patch.rectangle) - thing.box).max() <= 4
    assert found.points == 5 * 256
    assert mask.record()["crop_box"] == [0, 0, mask.crop[2], mask.crop[3]]


def test_what_a_crop_cuts_off_is_found_in_the_whole_image() -> None:
    thing = Thing((100, 100, 480, 480))
    [mask] = generate((512, 512), [thing], crop_n_layers=2, points_per_side=8).masks
    assert mask.crop == (0, 0, 512, 512)


def test_a_layer_without_points_finds_nothing() -> None:
    thing = Thing((60, 60, 140, 140))
    grid = tuple((x, y) for x, y in grids.regular(8).tolist())
    for empty, crop_is_whole in (((), grid), False), ((grid, ()), True):
        found = generate((512, 512), [thing], crop_n_layers=1, point_grids=empty)
        assert [mask.crop == (0, 0, 512, 512) for mask in found.masks] == [crop_is_whole]
    assert generate((512, 512), [thing], point_grids=((),)).points == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3), (30, 20), (301, 2047)])
@pytest.mark.parametrize("guided", [False, True])
def test_images_of_any_shape_in_crops(size: Size, *, guided: bool) -> None:
    everywhere = Thing((-9999, -9999, 9999, 9999))
    found = generate(size, [everywhere], crop_n_layers=2, points_per_side=2, guided=guided)
    assert found.masks
    best = max(found.masks, key=lambda mask: mask.patch.area)
    assert best.patch.area == size[0] * size[1]
    assert all(mask.patch.original_size == size for mask in found.masks)


def test_one_point_a_side() -> None:
    found = generate(SIZE, [LARGE], points_per_side=1)
    assert [mask.point_coords for mask in found.masks] == [(128, 128)]


def test_the_guided_grid_finds_the_same_with_fewer_points() -> None:
    full, guided = (generate(SIZE, APART, guided=guided, points_per_batch=4) for guided in (False, True))
    assert {tuple(corners(mask)) for mask in guided.masks} == {tuple(corners(mask)) for mask in full.masks}
    assert guided.points < full.points


def test_a_hundred_large_masks_of_a_large_image_take_little_memory() -> None:
    size = (3000, 4000)
    bitmap = np.zeros(size, np.bool_)
    bitmap[200:2800, 100:3900] = True
    patches = [Patch.of(bitmap) for _ in range(100)]
    assert sum(patch.edges.nbytes for patch in patches) < 130e6
