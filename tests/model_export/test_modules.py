"""The traced modules answer as segment-anything's own do, and OpenVINO takes any number of prompts and points."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from numpy.typing import NDArray

from model_export.modules import Decoder, Encoder
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
@pytest.mark.parametrize("masks", ["none", "one for all", "one each"])
def test_batch_and_points_are_dynamic(
    tiny_sam: Any, compiled: dict[str, openvino.CompiledModel], count: int, batch: int, masks: str
) -> None:
    generator = np.random.default_rng([count, batch])
    points = generator.uniform(0, SIZE, (batch, count, 2)).astype(np.float32)
    labels = generator.integers(0, 2, (batch, count)).astype(np.float32)
    rows = batch if masks == "one each" else 1
    mask = generator.normal(0, 5, (rows, 1, 32, 32)).astype(np.float32)
    embedding = embed(tiny_sam, picture(100, 128))
    prompts = (torch.from_numpy(points), torch.from_numpy(labels))
    # Where all share a mask, segment-anything must be given it once for each.
    given = None if masks == "none" else torch.from_numpy(np.broadcast_to(mask, (batch, 1, 32, 32)).copy())
    expected = decode(tiny_sam, embedding, prompts, mask=given)

    question = {
        "image_embeddings": embedding.numpy(),
        "point_coords": np.concatenate([points, np.zeros((batch, 1, 2), np.float32)], axis=1),
        "point_labels": np.concatenate([labels, np.full((batch, 1), -1, np.float32)], axis=1),
        "mask_input": mask,
        "has_mask_input": np.full(rows, masks != "none", np.float32),
    }
    found = compiled["decoder"](question)
    assert found["low_res_masks"].shape == (batch, 4, 32, 32)
    assert relative(expected[0], found["low_res_masks"]) < SAME
    assert relative(expected[1], found["iou_predictions"]) < SAME


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_the_decoder_in_two_pieces_answers_points_as_the_whole_does(
    tiny_sam: Any, compiled: dict[str, openvino.CompiledModel], batch: int
) -> None:
    """Masks 1 to 3 of single points; a mask can be drawn for some of them alone."""
    points = np.random.default_rng(batch).uniform(0, SIZE, (batch, 2)).astype(np.float32)
    embedding = embed(tiny_sam, picture(100, 128))
    masks, scores = decode(tiny_sam, embedding, (torch.from_numpy(points[:, None]), torch.ones(batch, 1)))
    found = compiled["points"]([embedding.numpy(), points])
    assert relative(scores[:, 1:], found["iou_predictions"]) < SAME
    for some in (slice(None), slice(batch - 1, batch)):
        drawn = compiled["upscaling"]([found["image_tokens"][some], found["mask_weights"][some]])["low_res_masks"]
        assert drawn.shape == masks[some, 1:].shape
        assert relative(masks[some, 1:], drawn) < SAME


def test_a_box_is_its_two_corners(tiny_sam: Any) -> None:
    embedding, box = embed(tiny_sam, picture(100, 128)), torch.tensor([[10.0, 20.0, 90.0, 70.0]])
    points = (torch.tensor([[[33.3, 44.4]]]), torch.tensor([[0.0]]))
    coords = torch.cat([points[0], box.reshape(1, 2, 2)], dim=1)
    with torch.no_grad():
        found = Decoder(tiny_sam)(
            embedding, coords, torch.tensor([[0.0, 2.0, 3.0]]), torch.zeros(1, 1, 32, 32), torch.zeros(1)
        )
    for expected, value in zip(decode(tiny_sam, embedding, points, box), found, strict=True):
        assert relative(expected, value.numpy()) < 1e-6


def test_the_ports_have_the_names_and_types_of_the_contract(compiled: dict[str, openvino.CompiledModel]) -> None:
    def ports(side: Any) -> dict[str, tuple[str, str]]:
        return {port.any_name: (port.element_type.get_type_name(), str(port.partial_shape)) for port in side}

    assert ports(compiled["encoder"].inputs) == {"image": ("u8", "[1,128,128,3]"), "input_size": ("i64", "[2]")}
    assert ports(compiled["encoder"].outputs) == {"image_embeddings": ("f32", "[1,32,8,8]")}
    assert ports(compiled["decoder"].inputs) == {
        "image_embeddings": ("f32", "[1,32,8,8]"),
        "point_coords": ("f32", "[?,?,2]"),
        "point_labels": ("f32", "[?,?]"),
        "mask_input": ("f32", "[?,1,32,32]"),
        "has_mask_input": ("f32", "[?]"),
    }
    assert ports(compiled["decoder"].outputs) == {
        "low_res_masks": ("f32", "[?,4,32,32]"),
        "iou_predictions": ("f32", "[?,4]"),
    }
    assert ports(compiled["points"].inputs) == {
        "image_embeddings": ("f32", "[1,32,8,8]"),
        "point_coords": ("f32", "[?,2]"),
    }
    between = {"image_tokens": ("f32", "[?,64,32]"), "mask_weights": ("f32", "[?,3,4]")}
    assert ports(compiled["points"].outputs) == {**between, "iou_predictions": ("f32", "[?,3]")}
    assert ports(compiled["upscaling"].inputs) == {**between, "mask_weights": ("f32", "[?,?,4]")}
    assert ports(compiled["upscaling"].outputs) == {"low_res_masks": ("f32", "[?,?,32,32]")}
