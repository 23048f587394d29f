"""The torch modules that are traced: an image in, an embedding out; an embedding and prompts in, masks out.

The decoder comes in pieces, so that none of its work is done twice or in vain: `ImageSide`, once for an image;
`MaskSide`, where a mask is refined; `PromptSide`, for each prompt; `Upscaling`, for each mask that is worth drawing.

They hold segment-anything's own layers and weights. What is written anew are the ends: normalization and padding move
into the encoder's graph, and prompts become plain tensors whose batch and number of points may vary.
"""

import math
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from model_export import folding, projections

if TYPE_CHECKING:
    from segment_anything.modeling import Sam


class Encoder(nn.Module):
    """Image encoder with segment-anything's `Sam.preprocess` in front, its padding included."""

    def __init__(self, sam: "Sam") -> None:
        super().__init__()
        self.image_encoder = sam.image_encoder
        self.pixel_mean: Tensor
        self.pixel_std: Tensor
        self.positions: Tensor
        self.register_buffer("pixel_mean", sam.pixel_mean.reshape(1, -1, 1, 1))
        self.register_buffer("pixel_std", sam.pixel_std.reshape(1, -1, 1, 1))
        self.register_buffer("positions", torch.arange(sam.image_encoder.img_size))

    def forward(self, image: Tensor, input_size: Tensor) -> Tensor:
        """Encode one image.

        Args:
            image: uint8 (1, S, S, 3), RGB; the resized image in the top left corner, anything elsewhere.
            input_size: int64 (2,), (H, W) of the resized image in input pixels.

        Returns:
            float32 (1, C, h, w), `image_embeddings`.
        """
        pixels = (image.permute(0, 3, 1, 2).to(torch.float32) - self.pixel_mean) / self.pixel_std
        inside = (self.positions < input_size[0])[:, None] & (self.positions < input_size[1])[None, :]
        # The padding is zero after normalization, not black before it.
        return self.image_encoder(torch.where(inside, pixels, torch.zeros_like(pixels)))


class PromptEncoder(nn.Module):
    """Points and box corners as the tokens that the mask decoder reads."""

    def __init__(self, sam: "Sam") -> None:
        super().__init__()
        source = sam.prompt_encoder
        height, width = source.input_image_size
        kinds = [source.not_a_point_embed, *source.point_embeddings]
        self.frame: Tensor
        self.frequencies: Tensor
        self.kinds: Tensor
        self.register_buffer("frame", torch.tensor([width, height], dtype=torch.float32))
        self.register_buffer("frequencies", source.pe_layer.positional_encoding_gaussian_matrix)
        self.register_buffer("kinds", torch.cat([kind.weight.detach() for kind in kinds]))

    def forward(self, point_coords: Tensor, point_labels: Tensor) -> Tensor:
        """Returns tokens float32 (B, N, C). Arguments: see `PromptSide`."""
        angles = (2 * ((point_coords + 0.5) / self.frame) - 1) @ self.frequencies * (2 * math.pi)
        position = torch.cat([torch.sin(angles), torch.cos(angles)], dim=-1)
        is_point = (point_labels != -1).to(torch.float32).unsqueeze(-1)
        return position * is_point + self.kinds[point_labels.to(torch.int64) + 1]


class ImageSide(nn.Module):
    """The decoder's beginning: what of an image is the same for all prompts."""

    def __init__(self, sam: "Sam") -> None:
        super().__init__()
        self.projections = projections.of_first_block(sam.mask_decoder.transformer)
        self.image_pe: Tensor
        self.no_mask: Tensor
        self.register_buffer("image_pe", _positions(sam))
        self.register_buffer("no_mask", sam.prompt_encoder.no_mask_embed.weight.detach().reshape(1, 1, -1))

    def forward(self, image_embeddings: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Prepare an image for the prompts that it will meet.

        Args:
            image_embeddings: float32 (1, C, h, w), the encoder's output.

        Returns:
            `image_tokens` float32 (1, h·w, C); `image_keys`, `image_values` and `image_queries`, each (1, H, D, h·w),
            as `projections.Projections`.
        """
        image = image_embeddings.flatten(2).transpose(1, 2) + self.no_mask
        keys, values, queries = (projection.of(image, self.image_pe) for projection in self.projections)
        return image, keys, values, queries


class MaskSide(nn.Module):
    """What changes of `ImageSide`'s answer where prompts refine a mask.

    A mask has few channels before segment-anything brings it to the image's C; all that is done with it until it meets
    a prompt is linear in them, and is done with the few.
    """

    def __init__(self, sam: "Sam") -> None:
        super().__init__()
        self.mask_downscaling = sam.prompt_encoder.mask_downscaling[:-1]
        last = sam.prompt_encoder.mask_downscaling[-1]  # it convolves single pixels
        weight = last.weight.detach().flatten(1)
        no_mask = sam.prompt_encoder.no_mask_embed.weight.detach().reshape(-1, 1)
        bias = cast("Tensor", last.bias).detach()[:, None] - no_mask
        self.heads = sam.mask_decoder.transformer.layers[0].cross_attn_token_to_image.num_heads
        self.token_weight, self.token_bias = weight.T, bias.T
        affine = projections.of_first_block(sam.mask_decoder.transformer)
        self.projected = [(projection.weight @ weight, projection.weight @ bias) for projection in affine]

    def forward(
        self, image_tokens: Tensor, image_keys: Tensor, image_values: Tensor, image_queries: Tensor, mask_input: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Prepare an image for the prompts that refine a mask.

        Args:
            image_tokens: what `ImageSide` answered.
            image_keys: the same.
            image_values: the same.
            image_queries: the same.
            mask_input: float32 (1, 1, 4h, 4w), logits of an earlier answer.

        Returns:
            The same four, with the mask.
        """
        pixels = self.mask_downscaling(mask_input).flatten(2)
        tokens = pixels.transpose(1, 2) @ self.token_weight + self.token_bias
        projected = (weight @ pixels + bias for weight, bias in self.projected)
        keys, values, queries = (one.unflatten(1, (self.heads, -1)) for one in projected)
        return image_tokens + tokens, image_keys + keys, image_values + values, image_queries + queries


class PromptSide(nn.Module):
    """The decoder's middle: prompts meet the image, and everything but the masks' pixels is known."""

    def __init__(self, sam: "Sam") -> None:
        super().__init__()
        self.prompt_encoder = PromptEncoder(sam)
        self.mask_decoder = sam.mask_decoder
        self.grid = sam.prompt_encoder.image_embedding_size
        self.image_pe: Tensor
        self.output_tokens: Tensor
        tokens = torch.cat([sam.mask_decoder.iou_token.weight, sam.mask_decoder.mask_tokens.weight]).detach()
        self.register_buffer("image_pe", _positions(sam))
        self.register_buffer("output_tokens", tokens.unsqueeze(0))

    def forward(
        self,
        image_tokens: Tensor,
        image_keys: Tensor,
        image_values: Tensor,
        image_queries: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decode B prompts on one image, as far as to what their masks are drawn from.

        The caller appends the padding point (0, 0) with label -1 where there is no box, as SamPredictor does.

        Args:
            image_tokens: what `ImageSide` or `MaskSide` answered.
            image_keys: the same.
            image_values: the same.
            image_queries: the same.
            point_coords: float32 (B, N, 2), (x, y) in input pixels, without the half pixel that is added here.
            point_labels: float32 (B, N), 1 foreground, 0 background, 2 and 3 box corners, -1 padding.

        Returns:
            `prompted_tokens` float32 (B, h, w, C) and `mask_weights` float32 (B, 4, C/8), from which `Upscaling` draws
            the masks, and their `iou_predictions` float32 (B, 4).
        """
        sparse = self.prompt_encoder(point_coords, point_labels)
        tokens = torch.cat([self.output_tokens.expand(sparse.shape[0], -1, -1), sparse], dim=1)
        made = projections.Projections(image_keys, image_values, image_queries)
        tokens, image = folding.transform(self.mask_decoder.transformer, image_tokens, self.image_pe, tokens, made)
        weights = folding.mask_weights(self.mask_decoder, tokens[:, 1:])
        return image.unflatten(1, self.grid), weights, self.mask_decoder.iou_prediction_head(tokens[:, 0])


class Upscaling(nn.Module):
    """The decoder's end: what `PromptSide` answered becomes masks."""

    def __init__(self, sam: "Sam") -> None:
        super().__init__()
        self.output_upscaling = sam.mask_decoder.output_upscaling

    def forward(self, prompted_tokens: Tensor, mask_weights: Tensor) -> Tensor:
        """Draw M masks of each of B prompts, or of some rows and columns of them.

        Args:
            prompted_tokens: float32 (B, h, w, C).
            mask_weights: float32 (B, M, C/8).

        Returns:
            `low_res_masks` float32 (B, M, 4h, 4w), logits.
        """
        return folding.draw(self.output_upscaling, mask_weights, prompted_tokens)


def _positions(sam: "Sam") -> Tensor:
    """The image's positional encoding, float32 (1, h·w, C)."""
    return sam.prompt_encoder.get_dense_pe().detach().flatten(2).transpose(1, 2)
