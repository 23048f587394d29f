"""The folded decoder is segment-anything's own, exactly: in double precision nothing is left of the difference."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from model_export import folding, projections
from model_export.without_torchvision import import_segment_anything

GRID = (6, 5)


def build(dim: int, heads: int, mlp_dim: int) -> Any:
    """segment-anything's mask decoder; no weight, bias or scale is left at a value that would hide it."""
    import_segment_anything()
    from segment_anything.modeling import MaskDecoder, TwoWayTransformer

    torch.manual_seed(3)
    transformer = TwoWayTransformer(depth=2, embedding_dim=dim, num_heads=heads, mlp_dim=mlp_dim)
    decoder = MaskDecoder(transformer_dim=dim, transformer=transformer).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return decoder


def draw(dim: int, batch: int, tokens: int, masks: int, grid: tuple[int, int] = GRID) -> tuple[Tensor, ...]:
    """An image, its positions, prompts, and what is added to the image for `masks` of them."""
    generator = torch.Generator().manual_seed(5)
    shapes = ((1, dim, *grid), (1, dim, *grid), (batch, tokens, dim), (masks, dim, *grid))
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def project(decoder: Any, places: Tensor, positions: Tensor) -> projections.Projections:
    maps = projections.of_first_block(decoder.transformer)
    return projections.Projections(*(one.of(places, positions) for one in maps))


def folded(
    decoder: Any, image: Tensor, pe: Tensor, sparse: Tensor, dense: Tensor, *, shared: bool = False
) -> tuple[Tensor, Tensor]:
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    prompts = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
    places, positions = ((x.flatten(2).transpose(1, 2)) for x in (image + dense, pe))
    made = project(decoder, places, positions) if shared else None
    tokens, places = folding.transform(decoder.transformer, places, positions, prompts, made)
    weights = folding.mask_weights(decoder, tokens[:, 1:])
    masks = folding.draw(decoder.output_upscaling, weights, places.unflatten(1, image.shape[2:]))
    return masks, decoder.iou_prediction_head(tokens[:, 0])


@pytest.mark.parametrize("tokens", [1, 2, 12])
@pytest.mark.parametrize(("batch", "masks"), [(1, 1), (4, 1), (4, 4)])
@torch.no_grad()
def test_nothing_but_rounding_differs(batch: int, masks: int, tokens: int) -> None:
    """Many prompts or one, and a mask for each or one for all."""
    decoder = build(32, 4, 48).double()
    image, pe, sparse, dense = (x.double() for x in draw(32, batch, tokens, masks))
    expected = decoder.predict_masks(image, pe, sparse, dense)
    for one, other in zip(expected, folded(decoder, image, pe, sparse, dense), strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() < 1e-11 * (one.max() - one.min())
    assert (expected[0][0] - expected[0][-1]).abs().max() > 1e-3 or batch == 1, "all prompts alike prove little"


@pytest.mark.parametrize("batch", [1, 4])
@torch.no_grad()
def test_what_is_done_once_for_all_prompts_changes_nothing(batch: int) -> None:
    decoder = build(32, 4, 48).double()
    inputs = tuple(x.double() for x in draw(32, batch, 2, 1))
    for one, other in zip(decoder.predict_masks(*inputs), folded(decoder, *inputs, shared=True), strict=True):
        assert (one - other).abs().max() < 1e-11 * (one.max() - one.min())


@torch.no_grad()
def test_an_attention_that_sees_one_place_only_stays_finite() -> None:
    """With logits in the thousands, no exponential overflows and no sum of them vanishes."""
    decoder = build(32, 4, 48)
    for name, parameter in decoder.named_parameters():
        if "cross_attn" in name and ("q_proj" in name or "k_proj" in name):
            parameter.mul_(30)
    found, _ = folded(decoder, *draw(32, 2, 3, 1))
    assert found.isfinite().all()


@torch.no_grad()
def test_a_click_costs_less_than_six_tenths_of_the_multiplications() -> None:
    """At the dimensions of the published models, and most of what is left is the upscaling."""
    decoder = build(256, 8, 2048)
    inputs = draw(256, 4, 2, 1, (32, 32))
    counts = []
    for decode in (decoder.predict_masks, lambda *given: folded(decoder, *given)):
        with FlopCounterMode(display=False) as counter:
            decode(*inputs)
        counts.append(counter.get_total_flops())
    assert counts[1] < 0.6 * counts[0]


@torch.no_grad()
def test_many_points_cost_less_than_half_of_the_multiplications() -> None:
    """A batch of sixteen, drawn; the image's projections, made once, are part of it."""
    decoder = build(256, 8, 2048)
    inputs = draw(256, 16, 2, 1, (32, 32))
    counts = []
    for decode in (decoder.predict_masks, lambda *given: folded(decoder, *given, shared=True)):
        with FlopCounterMode(display=False) as counter:
            decode(*inputs)
        counts.append(counter.get_total_flops())
    assert counts[1] < 0.5 * counts[0]
