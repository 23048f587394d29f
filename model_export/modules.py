"""The torch modules that are traced: an image in, an embedding out; an embedding and prompts in, masks out.

`Encoder` and `Decoder` are all that a click needs. For everything mode the decoder comes in two pieces besides,
`Points` and `Upscaling`, so that a mask is drawn only when its predicted IoU is worth it.

They hold segment-anything's own layers and weights. What is written anew are the ends: normalization and padding move
into the encoder's graph, and prompts become plain tensors whose batch and number of points may vary.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model_export import folding

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
    """Points, box corners and a mask as the tokens and the dense embedding that the mask decoder reads."""

    def __init__(self, sam: "Sam") -> None:
        super().__init__()
        source = sam.prompt_encoder
        height, width = source.input_image_size
        kinds = [source.not_a_point_embed, *source.point_embeddings]
        self.mask_downscaling = source.mask_downscaling[:-1]
        self.mask_projection = source.mask_downscaling[-1]
        self.frame: Tensor
        self.frequencies: Tensor
        self.kinds: Tensor
        self.no_mask: Tensor
        self.register_buffer("frame", torch.tensor([width, height], dtype=torch.float32))
        self.register_buffer("frequencies", source.pe_layer.positional_encoding_gaussian_matrix)
        self.register_buffer("kinds", torch.cat([kind.weight.detach() for kind in kinds]))
        self.register_buffer("no_mask", source.no_mask_embed.weight.detach().reshape(1, 1, 1, -1))

    def forward(
        self, point_coords: Tensor, point_labels: Tensor, mask_input: Tensor, has_mask_input: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns tokens float32 (B, N, C) and the dense embedding float32 (M, h, w, C). Arguments: see `Decoder`."""
        given = has_mask_input.reshape(-1, 1, 1, 1)
        dense = given * self._mask(mask_input) + (1 - given) * self.no_mask
        return self.tokens(point_coords, point_labels), dense

    def tokens(self, point_coords: Tensor, point_labels: Tensor) -> Tensor:
        """Tokens float32 (B, N, C). Arguments: see `Decoder`."""
        angles = (2 * ((point_coords + 0.5) / self.frame) - 1) @ self.frequencies * (2 * math.pi)
        position = torch.cat([torch.sin(angles), torch.cos(angles)], dim=-1)
        is_point = (point_labels != -1).to(torch.float32).unsqueeze(-1)
        return position * is_point + self.kinds[point_labels.to(torch.int64) + 1]

    def _mask(self, mask_input: Tensor) -> Tensor:
        # The last layer convolves single pixels. As a projection it gives channels last, as the decoder wants them.
        pixels = self.mask_downscaling(mask_input).permute(0, 2, 3, 1)
        return F.linear(pixels, self.mask_projection.weight.flatten(1), self.mask_projection.bias)


class Decoder(nn.Module):
    """Prompt encoder and mask decoder in one: all four masks of every prompt."""

    def __init__(self, sam: "Sam") -> None:
        super().__init__()
        self.prompt_encoder = PromptEncoder(sam)
        self.mask_decoder = sam.mask_decoder
        self.grid = sam.prompt_encoder.image_embedding_size
        self.image_pe: Tensor
        self.output_tokens: Tensor
        with torch.no_grad():
            self.register_buffer("image_pe", sam.prompt_encoder.get_dense_pe().flatten(2).transpose(1, 2))
            tokens = torch.cat([sam.mask_decoder.iou_token.weight, sam.mask_decoder.mask_tokens.weight])
            self.register_buffer("output_tokens", tokens.unsqueeze(0))

    def forward(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Decode B prompts on one image.

        The caller appends the padding point (0, 0) with label -1 where there is no box, as SamPredictor does.

        Args:
            image_embeddings: float32 (1, C, h, w), the encoder's output.
            point_coords: float32 (B, N, 2), (x, y) in input pixels, without the half pixel that is added here.
            point_labels: float32 (B, N), 1 foreground, 0 background, 2 and 3 box corners, -1 padding.
            mask_input: float32 (M, 1, 4h, 4w), logits of an earlier answer; M is 1 or B.
            has_mask_input: float32 (M,), 1 where `mask_input` counts, 0 where there is none.

        Returns:
            `low_res_masks` float32 (B, 4, 4h, 4w), logits, and `iou_predictions` float32 (B, 4).
        """
        sparse, dense = self.prompt_encoder(point_coords, point_labels, mask_input, has_mask_input)
        output_tokens = self.output_tokens.expand(sparse.shape[0], -1, -1)
        image = (image_embeddings.permute(0, 2, 3, 1) + dense).flatten(1, 2)
        tokens = torch.cat([output_tokens, sparse], dim=1)
        tokens, image = folding.transform(self.mask_decoder.transformer, image, self.image_pe, tokens)
        weights = folding.mask_weights(self.mask_decoder, tokens[:, 1:])
        masks = folding.draw(self.mask_decoder.output_upscaling, weights, image, self.grid)
        return masks, self.mask_decoder.iou_prediction_head(tokens[:, 0])


class Points(nn.Module):
    """The decoder up to its masks, for many points that have nothing to do with each other: everything mode."""

    def __init__(self, sam: "Sam") -> None:
        super().__init__()
        self.decoder = Decoder(sam)
        self.labels: Tensor
        self.register_buffer("labels", torch.tensor([[1.0, -1.0]]))

    def forward(self, image_embeddings: Tensor, point_coords: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Decode B foreground points on one image, each a prompt of its own without a mask.

        Args:
            image_embeddings: float32 (1, C, h, w), the encoder's output.
            point_coords: float32 (B, 2), (x, y) in input pixels, without the half pixel that is added here.

        Returns:
            `image_tokens` float32 (B, h·w, C) and `mask_weights` float32 (B, 3, C/8), from which `Upscaling` draws
            masks 1 to 3, and their `iou_predictions` float32 (B, 3).
        """
        decoder, source = self.decoder, self.decoder.mask_decoder
        coords = torch.stack([point_coords, torch.zeros_like(point_coords)], dim=1)
        sparse = decoder.prompt_encoder.tokens(coords, self.labels)
        tokens = torch.cat([decoder.output_tokens.expand(sparse.shape[0], -1, -1), sparse], dim=1)
        image = (image_embeddings.permute(0, 2, 3, 1) + decoder.prompt_encoder.no_mask).flatten(1, 2)
        read = (0, 2, 3, 4)  # mask 0 is for prompts of several points
        tokens, image = folding.transform(source.transformer, image, decoder.image_pe, tokens, read, shared=True)
        weights = folding.mask_weights(source, tokens[:, 1:], slice(1, 4))
        return image, weights, source.iou_prediction_head(tokens[:, 0])[:, 1:]


class Upscaling(nn.Module):
    """The decoder's end: what `Points` answered becomes masks."""

    def __init__(self, sam: "Sam") -> None:
        super().__init__()
        self.output_upscaling = sam.mask_decoder.output_upscaling
        self.grid = sam.prompt_encoder.image_embedding_size

    def forward(self, image_tokens: Tensor, mask_weights: Tensor) -> Tensor:
        """Draw M masks of each of B points: `image_tokens` (B, h·w, C), `mask_weights` (B, M, C/8).

        Returns:
            `low_res_masks` float32 (B, M, 4h, 4w), logits.
        """
        return folding.draw(self.output_upscaling, mask_weights, image_tokens, self.grid)
