"""The traced modules answer as segment-anything's own do, and OpenVINO takes any number of prompts and points."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from numpy.typing import NDArray

from model_export.modules import Encoder, ImageSide, PromptSide, Upscaling
from sam_backend.sam.folder import PARTS

SIZE = 128
Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def compiled(exported: Path) -> dict[str, openvino.CompiledModel]:
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    models = {part: core.read_model(exported / f"{part}.xml", exported / f"{half}.bin") for part, half in PARTS.items()}
    return {part: core.compile_model(model, "CPU", settings) for part, model in models.items()}


def picture(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


SAME = 1e-4
"""Of the range. Each kind of CPU adds in an order of its own: 2.3e-5 was measured on one, below 1e-5 on another."""


def relative(expected: Floats, found: Floats) -> float:
    return float(np.abs(expected - found).max() / np.ptp(expected))


@torch.no_grad()
def embed(sam: Any, image: NDArray[np.uint8]) -> Any:
    """segment-anything's own way: normalize, then pad with zeros, then encode."""
    return sam.image_encoder(sam.preprocess(torch.from_numpy(image).permute(2, 0, 1).float())[None])


@torch.no_grad()
def decode(sam: Any, embedding: Any, points: Any, boxes: Any = None, mask: Any = None) -> tuple[Floats, Floats]:
    sparse, dense = sam.prompt_encoder(points, boxes, mask)
    masks, scores = sam.mask_decoder.predict_masks(embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense)
    return masks.numpy(), scores.numpy()


@pytest.mark.parametrize("size", [(128, 128), (96, 128), (128, 1), (37, 128)], ids=str)
def test_normalization_and_padding_are_inside_the_graph(
    tiny_sam: Any, compiled: dict[str, openvino.CompiledModel], size: tuple[int, int]
) -> None:
    """What lies outside the picture's part of the square does not count, be it black or not."""
    image = picture(*size)
    canvas = np.full((1, SIZE, SIZE, 3), 99, np.uint8)
    canvas[0, : size[0], : size[1]] = image
    expected = embed(tiny_sam, image).numpy()

    with torch.no_grad():
        traced = Encoder(tiny_sam)(torch.from_numpy(canvas), torch.tensor(size)).numpy()
    assert relative(expected, traced) < 1e-5
    assert relative(expected, compiled["encoder"]([canvas, np.array(size)])["image_embeddings"]) < 1e-5


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("batch", [1, 3, 64])
@pytest.mark.parametrize("masked", [False, True])
def test_batch_and_points_are_dynamic(
    tiny_sam: Any, compiled: dict[str, openvino.CompiledModel], count: int, batch: int, *, masked: bool
) -> None:
    generator = np.random.default_rng([count, batch])
    points = generator.uniform(0, SIZE, (batch, count, 2)).astype(np.float32)
    labels = generator.integers(0, 2, (batch, count)).astype(np.float32)
    mask = generator.normal(0, 5, (1, 1, 32, 32)).astype(np.float32)
    embedding = embed(tiny_sam, picture(100, 128))
    prompts = (torch.from_numpy(points), torch.from_numpy(labels))
    # All share a mask; segment-anything must be given it once for each.
    given = torch.from_numpy(np.broadcast_to(mask, (batch, 1, 32, 32)).copy()) if masked else None
    expected = decode(tiny_sam, embedding, prompts, mask=given)

    side = [*compiled["image"]([embedding.numpy()]).values()]
    if masked:
        side = [*compiled["mask"]([*side, mask]).values()]
    coords = np.concatenate([points, np.zeros((batch, 1, 2), np.float32)], axis=1)
    found = compiled["prompts"]([*side, coords, np.pad(labels, ((0, 0), (0, 1)), constant_values=-1)])
    drawn = compiled["upscaling"]([found["prompted_tokens"], found["mask_weights"]])["low_res_masks"]
    assert drawn.shape == (batch, 4, 32, 32)
    assert relative(expected[0], drawn) < SAME
    assert relative(expected[1], found["iou_predictions"]) < SAME


@pytest.mark.parametrize("masks", [1, 3])
def test_some_masks_of_some_prompts_are_drawn_and_some_rows_and_columns_of_them(
    compiled: dict[str, openvino.CompiledModel], masks: int
) -> None:
    generator = np.random.default_rng(masks)
    tokens = generator.normal(size=(5, 8, 8, 32)).astype(np.float32)
    weights = generator.normal(size=(5, 4, 4)).astype(np.float32)

    def draw(tokens: Floats, weights: Floats) -> Floats:
        drawn: Floats = compiled["upscaling"]([np.ascontiguousarray(tokens), np.ascontiguousarray(weights)])[0]
        return drawn

    whole = draw(tokens, weights)
    some = draw(tokens[2:4], weights[2:4, -masks:])
    assert relative(whole[2:4, -masks:], some) < SAME
    rows, columns = np.array([1, 2, 7]), np.array([0, 5])
    part = draw(tokens[:, rows[:, None], columns], weights)
    cells = whole.reshape(5, 4, 8, 4, 8, 4)[:, :, rows][:, :, :, :, columns]
    assert relative(cells.reshape(part.shape), part) < SAME


def test_a_box_is_its_two_corners(tiny_sam: Any) -> None:
    embedding, box = embed(tiny_sam, picture(100, 128)), torch.tensor([[10.0, 20.0, 90.0, 70.0]])
    points = (torch.tensor([[[33.3, 44.4]]]), torch.tensor([[0.0]]))
    coords = torch.cat([points[0], box.reshape(1, 2, 2)], dim=1)
    with torch.no_grad():
        side = ImageSide(tiny_sam)(embedding)
        tokens, weights, scores = PromptSide(tiny_sam)(*side, coords, torch.tensor([[0.0, 2.0, 3.0]]))
        found = Upscaling(tiny_sam)(tokens, weights), scores
    for expected, value in zip(decode(tiny_sam, embedding, points, box), found, strict=True):
        assert relative(expected, value.numpy()) < 1e-6


def test_the_ports_have_the_names_and_types_of_the_contract(compiled: dict[str, openvino.CompiledModel]) -> None:
    def ports(side: Any) -> dict[str, tuple[str, str]]:
        return {port.any_name: (port.element_type.get_type_name(), str(port.partial_shape)) for port in side}

    assert ports(compiled["encoder"].inputs) == {"image": ("u8", "[1,128,128,3]"), "input_size": ("i64", "[2]")}
    assert ports(compiled["encoder"].outputs) == {"image_embeddings": ("f32", "[1,32,8,8]")}
    side = {"tokens": "[1,64,32]", "keys": "[1,4,4,64]", "values": "[1,4,4,64]", "queries": "[1,4,4,64]"}
    image = {f"image_{name}": ("f32", shape) for name, shape in side.items()}
    assert ports(compiled["image"].inputs) == {"image_embeddings": ("f32", "[1,32,8,8]")}
    assert ports(compiled["image"].outputs) == image
    assert ports(compiled["mask"].inputs) == {**image, "mask_input": ("f32", "[1,1,32,32]")}
    assert ports(compiled["mask"].outputs) == {f"refined_{name}": ("f32", shape) for name, shape in side.items()}
    points = {"point_coords": ("f32", "[?,?,2]"), "point_labels": ("f32", "[?,?]")}
    assert ports(compiled["prompts"].inputs) == {**image, **points}
    between = {"prompted_tokens": ("f32", "[?,8,8,32]"), "mask_weights": ("f32", "[?,4,4]")}
    assert ports(compiled["prompts"].outputs) == {**between, "iou_predictions": ("f32", "[?,4]")}
    drawn = {"prompted_tokens": ("f32", "[?,?,?,32]"), "mask_weights": ("f32", "[?,?,4]")}
    assert ports(compiled["upscaling"].inputs) == drawn
    assert ports(compiled["upscaling"].outputs) == {"low_res_masks": ("f32", "[?,?,?,?]")}
