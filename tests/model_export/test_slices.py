"""Attention in slices is segment-anything's own, exactly: in double precision nothing is left of the difference."""

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
import pytest
import torch

from model_export.convert import convert_encoder
from model_export.slices import SlicedAttention, sliced


def build(size: tuple[int, int], *, use_rel_pos: bool = True) -> Any:
    """segment-anything's attention, every parameter of it away from zero."""
    from segment_anything.modeling.image_encoder import Attention

    torch.manual_seed(3)
    attention = Attention(dim=12, num_heads=3, use_rel_pos=use_rel_pos, input_size=size).double().eval()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.normal_(std=0.7)
    return attention


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("use_rel_pos", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8])
@torch.no_grad()
def test_nothing_but_rounding_differs(rows: int, *, use_rel_pos: bool) -> None:
    size = (5, 7)
    attention = build(size, use_rel_pos=use_rel_pos)
    tokens = torch.randn((2, *size, 12), generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    expected, found = attention(tokens), SlicedAttention(attention, rows)(tokens)
    assert expected.std() > 0.1
    assert (expected - found).abs().max() < 1e-12


@torch.no_grad()
def test_only_attention_over_the_whole_image_is_sliced_and_only_for_a_while(tiny_sam: Any) -> None:
    blocks = tiny_sam.image_encoder.blocks
    before = [block.attn for block in blocks]
    with sliced(tiny_sam.image_encoder):
        assert [isinstance(block.attn, SlicedAttention) for block in blocks] == [False, True]
    assert [block.attn for block in blocks] == before


def largest_softmax(model: openvino.Model) -> int:
    """Elements of the largest tensor of shares."""
    nodes = [node for node in model.get_ops() if node.get_type_name() == "Softmax"]
    return max(int(np.prod(list(node.get_output_shape(0)))) for node in nodes)


def test_an_export_never_holds_all_shares_at_once(tiny_sam: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny's grid has 8 x 8 tokens and 2 heads; a slice of two rows is a quarter of 2 x 64 x 64."""
    embed = encoder_of(convert_encoder(tiny_sam))
    monkeypatch.setattr("model_export.slices.ROWS", 2)
    model = convert_encoder(tiny_sam)
    assert largest_softmax(model) == 2 * 16 * 64
    np.testing.assert_allclose(encoder_of(model)(), embed(), atol=1e-5)


def encoder_of(model: openvino.Model) -> Callable[[], Any]:
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    image = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), np.uint8)
    return lambda: compiled([image, np.array([96, 128])])[0]
