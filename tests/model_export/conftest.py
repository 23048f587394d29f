"""A SAM small enough to export in a second: the real classes, few dimensions."""

import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model_export import pipeline, random_weights
from model_export.architectures import REGISTRY, Architecture
from model_export.pipeline import Order
from model_export.weights import Weights
from model_export.without_torchvision import import_segment_anything
from sam_backend.sam.folder import PARTS

IMAGE_SIZE, PATCH, DIM = 128, 16, 32


def build_tiny() -> Any:
    """ViT with a windowed and a global block, the window not dividing the grid, as in the published ones."""
    import_segment_anything()
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    grid = IMAGE_SIZE // PATCH
    encoder = ImageEncoderViT(
        img_size=IMAGE_SIZE,
        patch_size=PATCH,
        embed_dim=DIM,
        depth=2,
        num_heads=2,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        global_attn_indexes=(1,),
        window_size=3,
        out_chans=DIM,
    )
    prompt_encoder = PromptEncoder(DIM, (grid, grid), (IMAGE_SIZE, IMAGE_SIZE), mask_in_chans=8)
    transformer = TwoWayTransformer(depth=2, embedding_dim=DIM, num_heads=4, mlp_dim=64)
    decoder = MaskDecoder(transformer_dim=DIM, transformer=transformer, iou_head_hidden_dim=16)
    return Sam(encoder, prompt_encoder, decoder).eval()


def quietly(title: str) -> nullcontext[None]:
    """A step that shows nothing."""
    return nullcontext()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Architecture]:
    """An architecture of the registry, as `builtin` is: its checkpoint lies in a file."""
    path = tmp_path_factory.mktemp("checkpoints") / "tiny.pt"
    architecture = Architecture("tiny", "for tests", build_tiny, path)
    torch.save(random_weights.build(architecture, 7).state_dict(), path)
    REGISTRY["tiny"] = architecture
    yield architecture
    del REGISTRY["tiny"]


@pytest.fixture(scope="session")
def tiny_sam(tiny: Architecture) -> Any:
    """The torch model with the weights of tiny's checkpoint."""
    return random_weights.build(tiny, 7)


@pytest.fixture(scope="session")
def exported(tiny: Architecture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of tiny, in f32; tests read it and change copies."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    pipeline.export(Order("tiny", Weights(), "tiny", folder), quietly)
    return folder


@pytest.fixture
def spoiled(exported: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of tiny's folder in which the largest tensor of one half has lost its sign."""

    def spoil(half: str) -> Path:
        folder = Path(shutil.copytree(exported, tmp_path / "spoiled"))
        part = next(part for part, weights in PARTS.items() if weights == half)
        constants = ET.parse(folder / f"{part}.xml").getroot().iter("data")
        largest = max((data for data in constants if data.get("element_type") == "f32"), key=_nbytes)
        content = np.fromfile(folder / f"{half}.bin", np.uint8)
        start = int(largest.attrib["offset"])
        tensor = content[start : start + _nbytes(largest)].view(np.float32)
        np.abs(tensor, out=tensor)
        content.tofile(folder / f"{half}.bin")
        return folder

    return spoil


def _nbytes(constant: ET.Element) -> int:
    return int(constant.get("size", 0))
