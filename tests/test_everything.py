"""Everything on an image: what segment-anything's own generator finds, each object once, and much of it at once."""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from benchmarks.official import generator_class
from model_export import architectures
from model_export.builtin.scenes import HELD_OUT_SEED
from model_export.builtin.scenes.scene import draw_scene
from model_export.weights import Weights, build
from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.sam import grids
from sam_backend.sam.automatic import Found
from sam_backend.sam.types import Image
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings
from tests.support import crowd

Bitmap = NDArray[np.bool_]
Rgb = NDArray[np.uint8]
Record = dict[str, Any]

MATCH = 0.9


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(Settings.model_validate({"SAM_PRECISION": "f32"}))


def picture(name: str) -> Rgb:
    """A photograph, or a drawn scene that the built-in model has never seen."""
    if name.startswith("scene"):
        return draw_scene(HELD_OUT_SEED + int(name.split()[1]), 768).rgb
    rgb = getattr(data, name)()
    return np.ascontiguousarray(np.stack([rgb] * 3, axis=-1) if rgb.ndim == 2 else rgb[..., :3])


def shapes() -> tuple[Rgb, list[Bitmap]]:
    """A red ellipse and a blue rectangle on gray, and where they are."""
    rgb = np.full((400, 600, 3), 128, np.uint8)
    cv2.ellipse(rgb, (180, 200), (90, 60), 20, 0, 360, (220, 30, 30), -1)
    cv2.rectangle(rgb, (380, 120), (520, 300), (30, 40, 220), -1)
    return rgb, [rgb[..., channel] == 220 for channel in (0, 2)]


def everything(segmenter: Segmenter, rgb: Rgb, name: str = "picture", **parameters: Any) -> Found:
    return segmenter.everything(Image(rgb, name), AutomaticSettings(**{"max_regions": 0, **parameters}))


def ious(expected: Sequence[Bitmap], found: Sequence[Bitmap]) -> NDArray[np.float64]:
    """IoU of each pair, (expected, found)."""
    one, other = (np.stack([mask.ravel() for mask in side]).astype(np.float32) for side in (expected, found))
    shared = (one @ other.T).astype(np.float64)
    return shared / (one.sum(1)[:, None] + other.sum(1)[None] - shared)


def bitmaps(found: Found) -> list[Bitmap]:
    return [mask.patch.bitmap for mask in found.masks]


# ------------------------------------------------------------------------------------- as segment-anything's own


def compare(expected: list[Record], found: list[Record]) -> None:
    """The same masks, none missing and none twice, and what the records say of them."""
    overlap = ious([record["segmentation"] for record in expected], [record["segmentation"] for record in found])
    assert (overlap.max(1) >= MATCH).mean() >= 0.98, "of the official masks"
    assert (overlap.max(0) < MATCH).mean() <= 0.02, "of ours"
    assert abs(len(found) - len(expected)) <= 0.02 * len(expected), "duplicates"
    for record, row in zip(expected, overlap, strict=True):
        other = found[int(row.argmax())]
        if row.max() >= MATCH:
            assert list(record) == list(other)
            assert other["area"] == pytest.approx(record["area"], rel=0.01, abs=2)
            assert other["bbox"] == pytest.approx(record["bbox"], abs=2)
            assert other["predicted_iou"] == pytest.approx(record["predicted_iou"], abs=1e-3)
            assert other["stability_score"] == pytest.approx(record["stability_score"], abs=5e-3)
            assert other["point_coords"] == [pytest.approx(point) for point in record["point_coords"]]
            assert other["crop_box"] == record["crop_box"]


@pytest.fixture(scope="module")
def builtin() -> Any:
    """The built-in model's weights in torch."""
    sam, _ = build(architectures.find("builtin"), Weights())
    return sam


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("coins", {"points_per_side": 10}),
        ("scene 1", {"points_per_side": 8}),
        ("scene 10", {"points_per_side": 8}),
        ("coins", {"points_per_side": 4, "crop_n_layers": 1}),
        ("coins", {"points_per_side": 8, "min_mask_region_area": 100}),
    ],
)
def test_the_masks_are_those_of_segment_anything(
    segmenter: Segmenter, builtin: Any, name: str, parameters: Record
) -> None:
    rgb = picture(name)
    expected = generator_class()(builtin, **parameters).generate(rgb)
    found = everything(segmenter, rgb, name, **parameters)
    assert expected
    compare(expected, [mask.record() for mask in found.masks])


@pytest.fixture(scope="module")
def vit_b(vit_b_models: Path) -> tuple[Segmenter, Any]:
    """The service's side and segment-anything's, of the same weights."""
    settings = {"SAM_MODEL": "vit_b", "SAM_MODEL_DIR": vit_b_models, "SAM_PRECISION": "f32"}
    sam, _ = build(architectures.find("vit_b"), Weights(seed=0))
    return Segmenter(Settings.model_validate(settings)), sam


@pytest.mark.slow
def test_the_masks_of_vit_b_are_those_of_segment_anything(vit_b: tuple[Segmenter, Any]) -> None:
    """Its weights are random: the thresholds are such that many masks pass them."""
    parameters: Record = {"points_per_side": 6, "pred_iou_thresh": 0.0, "box_nms_thresh": 1.0}
    parameters |= {"stability_score_thresh": 0.85, "stability_score_offset": 0.01}
    rgb = picture("astronaut")
    expected = generator_class()(vit_b[1], **parameters).generate(rgb)
    assert len(expected) >= 10
    compare(expected, [mask.record() for mask in everything(vit_b[0], rgb, **parameters).masks])


# ------------------------------------------------------------------------------------------------- what is there


@pytest.mark.slow
def test_plain_shapes_on_a_plain_ground(segmenter: Segmenter) -> None:
    rgb, truths = shapes()
    found = segmenter.everything(Image(rgb, "shapes"), AutomaticSettings())
    assert (ious(truths, bitmaps(found)).max(1) >= 0.9).all()


@pytest.mark.slow
def test_a_crowd_of_small_objects_is_found_in_crops(segmenter: Segmenter) -> None:
    """150 objects that are too small to be found on the whole image; `soak` has 600."""
    rgb, owners = crowd.draw(15, 10)
    found = everything(segmenter, rgb, "crowd", **in_crops(layer=1, a_side=18))
    assert crowd.found(owners, [mask.patch for mask in found.masks], 0.7) > 125


@pytest.mark.soak
def test_six_hundred_objects_are_found_in_crops(segmenter: Segmenter) -> None:
    rgb, owners = crowd.draw(25, 24)
    found = everything(segmenter, rgb, "large crowd", **in_crops(layer=2, a_side=17))
    count = crowd.found(owners, [mask.patch for mask in found.masks], 0.7)
    print(f"{count} of 600 found, {len(found.masks)} masks, {found.points} points")
    assert count > 500


def in_crops(layer: int, a_side: int) -> Record:
    """Points in one layer of crops alone, and thresholds for shapes of some thirty input pixels."""
    grid = tuple((x, y) for x, y in grids.regular(a_side).tolist())
    thresholds = {"pred_iou_thresh": 0.8, "stability_score_thresh": 0.9}
    point_grids = (*((),) * layer, grid)
    return {"crop_n_layers": layer, "crop_overlap_ratio": 0.15, "point_grids": point_grids, "guided": True} | thresholds


@pytest.mark.slow
def test_the_guided_grid_finds_nearly_all_with_half_of_the_points(segmenter: Segmenter) -> None:
    missed = total = points = 0
    for name in ("coins", "scene 1", "camera"):
        rgb = picture(name)
        full, guided = (everything(segmenter, rgb, name, points_per_side=32, guided=guided) for guided in (False, True))
        if full.masks:
            overlap = ious(bitmaps(full), bitmaps(guided))
            missed += int((overlap.max(1) < MATCH).sum())
        total += len(full.masks)
        points += guided.points
    assert total >= 20
    assert missed <= 0.05 * total
    print(f"{total - missed} of {total} masks, {points} of 3072 points")
    assert points <= 3072 / 2


@pytest.mark.parametrize("size", [(1, 1), (1, 64), (64, 1), (37, 253)])
@pytest.mark.parametrize("overlapping", [True, False])
def test_an_image_of_any_shape_gives_masks_of_its_shape(
    segmenter: Segmenter, size: tuple[int, int], *, overlapping: bool
) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    parameters = {"points_per_side": 2, "crop_n_layers": 1, "pred_iou_thresh": 0, "stability_score_thresh": 0}
    found = everything(segmenter, rgb, f"noise {size}", overlapping=overlapping, **parameters)
    assert found.masks
    assert {mask.shape for mask in bitmaps(found)} == {size}
    if not overlapping:
        assert np.sum(bitmaps(found), axis=0).max() == 1


# ----------------------------------------------------------------------------------------- threads, time and memory


def traits(found: Found) -> list[tuple[Any, ...]]:
    return [
        (mask.patch.rectangle, mask.patch.edges.tobytes(), mask.predicted_iou, mask.stability_score, mask.point_coords)
        for mask in found.masks
    ]


@pytest.mark.parametrize("guided", [False, True])
def test_equal_runs_give_equal_masks(segmenter: Segmenter, *, guided: bool) -> None:
    """Whether the image is encoded anew or remembered."""
    rgb = picture("coins")
    names = ["once", "once", f"again, guided: {guided}"]
    first, *others = (everything(segmenter, rgb, name, points_per_side=6, guided=guided) for name in names)
    assert len(first.masks) >= 5
    assert [traits(other) for other in others] == [traits(first)] * 2


def test_two_threads_find_what_each_finds_alone(segmenter: Segmenter) -> None:
    pictures = {"coins": picture("coins"), "shapes": shapes()[0]}
    alone = [traits(everything(segmenter, rgb, name, points_per_side=6)) for name, rgb in pictures.items()]
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(everything, segmenter, rgb, name, points_per_side=6)
            for _ in range(2)
            for name, rgb in pictures.items()
        ]
        assert [traits(run.result()) for run in runs] == alone * 2


PEAK = """
import re, sys
from pathlib import Path
import numpy as np
from sam_backend.automatic_settings import AutomaticSettings
from sam_backend.sam.types import Image
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings

segmenter = Segmenter(
    Settings.model_validate({"SAM_MODEL": "vit_b", "SAM_MODEL_DIR": sys.argv[1], "SAM_PRECISION": "f32"})
)
coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
image = Image(np.ascontiguousarray(coarse.repeat(25, 0).repeat(25, 1)), "blocks")
found = segmenter.everything(
    image, AutomaticSettings(points_per_side=7, pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=1)
)
# Not ru_maxrss: a process begins with that of the one which started it.
print(len(found.masks), re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
def test_vit_b_stays_below_two_and_a_half_gigabytes(vit_b_models: Path) -> None:
    """With a hundred masks, in some batches of the usual size."""
    done = subprocess.run([sys.executable, "-c", PEAK, str(vit_b_models)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    count, peak = map(int, done.stdout.split())
    print(f"{count} masks, {peak / 1e6:.2f} GB")
    assert count >= 90
    assert peak <= 2_500_000
