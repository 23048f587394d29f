"""The service answers as segment-anything's own `SamPredictor` does: vit_b, seeded weights, f32, 60 prompts.

The reference is the real class on the real torch model, with PIL's resize of its own; the other side is the service's
code from the picture to the mask, over a folder that the export tool made of the same weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from benchmarks.official import predictor_class
from model_export import architectures, random_weights
from sam_backend.sam import decoder, geometry, masks
from sam_backend.sam.types import Embedding, Image, Prompt
from sam_backend.segmenter import Segmenter
from sam_backend.settings import Settings

pytestmark = pytest.mark.slow

SEED = 0
MAX_DELTA = 1e-3  # of the logits' range
MIN_IOU = 0.999
# (H, W): landscape and larger than the input, portrait and smaller, a strip whose short side is rounded.
SHAPES = {"landscape": (750, 1333), "portrait": (640, 427), "strip": (301, 2047)}
KINDS = {
    "positive point": 4,
    "negative point": 2,
    "several points": 4,
    "box": 4,
    "box and points": 3,
    "mask and point": 1,
    "mask and points": 1,
    "mask and box": 1,
}
PROMPTS = [(kind, number) for kind, count in KINDS.items() for number in range(count)]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """One picture, set in the reference and encoded by the service."""

    predictor: Any
    segmenter: Segmenter
    image: Image
    embedding: Embedding


@dataclass(frozen=True)
class Reference:
    """What `SamPredictor` answered: all four masks, as logits at the original size and as low-resolution ones."""

    logits: Floats
    low_res_masks: Floats
    iou_predictions: Floats


@pytest.fixture(scope="module")
def predictor() -> Any:
    return predictor_class()(random_weights.build(architectures.find("vit_b"), SEED))


@pytest.fixture(scope="module")
def segmenter(vit_b_models: Path) -> Segmenter:
    settings = {"SAM_MODEL": "vit_b", "SAM_MODEL_DIR": vit_b_models, "SAM_PRECISION": "f32"}
    return Segmenter(Settings.model_validate(settings))


@pytest.fixture(scope="module", params=SHAPES)
def scene(request: pytest.FixtureRequest, predictor: Any, segmenter: Segmenter) -> Iterator[Scene]:
    image = Image(picture(SHAPES[request.param]), request.param)
    predictor.set_image(image.rgb)
    yield Scene(predictor, segmenter, image, segmenter.embed(image))
    predictor.reset_image()


def picture(shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Soft colors, hard edges and noise."""
    generator = np.random.default_rng(shape)
    coarse = generator.integers(0, 256, (5, 7, 3), np.uint8)
    smooth = PIL.Image.fromarray(coarse).resize(shape[::-1], PIL.Image.Resampling.BICUBIC)
    image = np.asarray(smooth).astype(np.int16)
    for _ in range(12):
        x, y = generator.uniform(0, 0.8, 2)
        width, height = generator.uniform(0.05, 0.3, 2)
        rows = slice(int(y * shape[0]), int((y + height) * shape[0]) + 1)
        image[rows, int(x * shape[1]) : int((x + width) * shape[1]) + 1] = generator.integers(0, 256, 3)
    return (image + generator.normal(0, 8, image.shape)).clip(0, 255).astype(np.uint8)


def prompt_of(kind: str, number: int, scene: Scene) -> Prompt:
    height, width = scene.image.original_size
    generator = np.random.default_rng([height, width, number, *kind.encode()])
    count = 2 + number if "points" in kind else int("point" in kind)
    points = generator.uniform(0, 1, (count, 2)) * (width, height)
    labels = np.full(count, kind != "negative point", np.int64)
    labels[1::2] = 0
    corners = np.sort(generator.uniform(0, 1, (2, 2)), axis=0) * (width, height)
    boxes = corners.reshape(1, 4) if "box" in kind else np.zeros((0, 4))
    return Prompt(points, labels, boxes, mask_input=previous_answer(scene) if "mask" in kind else None)


def previous_answer(scene: Scene) -> Floats:
    """The logits of an earlier click, as they come back with the next one."""
    click = np.array(scene.image.original_size[::-1]) * 0.4
    _, scores, low_res = scene.predictor.predict(click[None], np.ones(1), multimask_output=True)
    answer: Floats = low_res[[scores.argmax()]]
    return answer


def reference_of(scene: Scene, prompt: Prompt) -> Reference:
    question = {
        "point_coords": prompt.points if len(prompt.points) else None,
        "point_labels": prompt.point_labels if len(prompt.points) else None,
        "box": prompt.boxes[0] if len(prompt.boxes) else None,
        "mask_input": prompt.mask_input,
        "return_logits": True,
    }
    single = scene.predictor.predict(**question, multimask_output=False)
    multiple = scene.predictor.predict(**question, multimask_output=True)
    logits, scores, low_res = (np.concatenate(pair) for pair in zip(single, multiple, strict=True))
    return Reference(logits, low_res, scores)


def relative_delta(expected: Floats, found: Floats) -> float:
    return float(np.abs(expected - found).max() / np.ptp(expected))


def iou(expected: NDArray[np.bool_], found: NDArray[np.bool_]) -> float:
    return float((expected & found).sum() / (expected | found).sum())


@pytest.mark.parametrize(("kind", "number"), PROMPTS)
def test_all_four_masks_are_those_of_sam_predictor(scene: Scene, kind: str, number: int) -> None:
    prompt = prompt_of(kind, number, scene)
    expected = reference_of(scene, prompt)
    answer = decoder.decode(scene.segmenter.load(), scene.embedding, prompt)
    info, embedding = scene.segmenter.info, scene.embedding

    assert relative_delta(expected.low_res_masks, answer.logits) <= MAX_DELTA
    assert relative_delta(expected.iou_predictions, answer.iou_predictions) <= MAX_DELTA
    for index, (logits, low_res) in enumerate(zip(expected.logits, answer.logits, strict=True)):
        upscaled = geometry.upscale(low_res, embedding.input_size, embedding.original_size, info.image_size)
        assert relative_delta(logits, upscaled) <= MAX_DELTA
        assert 0.01 < (logits > 0).mean() < 0.99, "a mask that is all or nothing would prove little"
        assert iou(logits > 0, masks.finish(info, embedding, answer, index).bitmap) >= MIN_IOU


def refined(scene: Scene, prompt: Prompt) -> tuple[NDArray[np.bool_], float]:
    """`SamPredictor` as its notebook uses it: one prompt more each time, and the mask that was shown as `mask_input`.

    The mask, bool (H, W), and its predicted IoU.
    """
    box = prompt.boxes[0] if len(prompt.boxes) else None
    mask_input = None
    for count in range(1 if box is None else 0, len(prompt.points) + 1):
        is_ambiguous = count == 1 and box is None
        found, scores, low_res = scene.predictor.predict(
            point_coords=prompt.points[:count] if count else None,
            point_labels=prompt.point_labels[:count] if count else None,
            box=box,
            mask_input=mask_input,
            multimask_output=is_ambiguous,
        )
        best = int(scores.argmax())
        mask_input = low_res[[best]]
    return found[best], float(scores[best])


@pytest.mark.parametrize(
    ("kind", "number"),
    [("positive point", 0), ("several points", 1), ("several points", 3), ("box", 0), ("box and points", 1)],
)
def test_the_answer_is_that_of_sam_predictor_used_prompt_by_prompt(scene: Scene, kind: str, number: int) -> None:
    prompt = prompt_of(kind, number, scene)
    expected, score = refined(scene, prompt)
    [mask] = scene.segmenter.segment(scene.image, prompt)
    assert iou(expected, mask.bitmap) >= MIN_IOU
    assert mask.score == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("scene", ["portrait"], indirect=True)
def test_the_picture_and_the_prompt_both_matter(scene: Scene) -> None:
    """Else parity would be vacuous: with these weights, other prompts and other pictures give other masks."""
    first, second = (prompt_of("positive point", number, scene) for number in (0, 1))
    model = scene.segmenter.load()
    answers = [decoder.decode(model, scene.embedding, prompt).logits for prompt in (first, second)]
    assert relative_delta(answers[0], answers[1]) > 20 * MAX_DELTA

    flipped = scene.segmenter.embed(Image(scene.image.rgb[:, ::-1].copy(), f"{scene.image.digest}, flipped"))
    assert relative_delta(answers[0], decoder.decode(model, flipped, first).logits) > 20 * MAX_DELTA
