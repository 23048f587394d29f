"""The built-in model's network: segment-anything's prompt encoder and mask decoder over a convolutional encoder.

To load the trained weights: `sam = build_builtin(); sam.load_state_dict(torch.load(CHECKPOINT, weights_only=True))`,
where `CHECKPOINT` is the file beside this one. `IMAGE_SIZE` is the size it is made for; being convolutional, and its
positions being relative, the same weights also work at another multiple of 32.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from model_export.without_torchvision import import_segment_anything

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

CHECKPOINT = Path(__file__).with_name("builtin.pt")
IMAGE_SIZE = 384
STRIDE = 8
_EMBED_DIM = 96
_WIDTHS = (48, 96, 128, 160)


class Residual(nn.Module):
    """x + two 3x3 convolutions, each behind a ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x + self.conv2(torch.relu(self.conv1(torch.relu(x))))


class ChannelNorm(nn.LayerNorm):
    """Layer normalization over the channels at each place of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(channels) for _ in range(blocks)))


def _down(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(ChannelNorm(channels), nn.Conv2d(channels, out, 3, stride=2, padding=1))


class ConvEncoder(nn.Module):
    """Image encoder of dense 3x3 convolutions: features of strides 4 to 32, joined from the top down at stride 8."""

    def __init__(self, img_size: int) -> None:
        super().__init__()
        self.img_size = img_size
        w4, w8, w16, w32 = _WIDTHS
        self.stem = nn.Conv2d(3, w4, 8, stride=4, padding=2)
        self.stage4 = _stage(w4, 2)
        self.down8, self.stage8 = _down(w4, w8), _stage(w8, 2)
        self.down16, self.stage16 = _down(w8, w16), _stage(w16, 3)
        self.down32, self.stage32 = _down(w16, w32), _stage(w32, 1)
        self.join16, self.merge16 = nn.Conv2d(w32, w16, 1), _stage(w16, 1)
        self.join8, self.fine8, self.merge8 = nn.Conv2d(w16, w8, 1), _down(w4, w8), _stage(w8, 2)
        self.neck = nn.Sequential(ChannelNorm(w8), nn.Conv2d(w8, _EMBED_DIM, 1), ChannelNorm(_EMBED_DIM))

    def forward(self, x: Tensor) -> Tensor:
        """Normalized, padded images (B, 3, S, S) to embeddings (B, C, S / 8, S / 8)."""
        x4 = self.stage4(self.stem(x))
        x8 = self.stage8(self.down8(x4))
        x16 = self.stage16(self.down16(x8))
        x32 = self.stage32(self.down32(x16))
        x16 = self.merge16(x16 + _double(self.join16(x32)))
        x8 = self.merge8(x8 + _double(self.join8(x16)) + self.fine8(x4))
        return self.neck(x8)


def _double(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


def build_builtin(image_size: int = IMAGE_SIZE) -> "Sam":
    """The untrained network as a segment-anything `Sam`; `image_size` is a multiple of 32."""
    import_segment_anything()
    from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    side = image_size // STRIDE
    transformer = TwoWayTransformer(depth=2, embedding_dim=_EMBED_DIM, num_heads=3, mlp_dim=384)
    return Sam(
        image_encoder=ConvEncoder(image_size),
        prompt_encoder=PromptEncoder(
            embed_dim=_EMBED_DIM,
            image_embedding_size=(side, side),
            input_image_size=(image_size, image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=_EMBED_DIM,
            transformer=transformer,
            activation=nn.ReLU,
            iou_head_hidden_dim=192,
        ),
    )


def resize_frame(sam: "Sam", image_size: int) -> None:
    """Make the same weights serve another input size, in place."""
    side = image_size // STRIDE
    sam.image_encoder.img_size = image_size
    sam.prompt_encoder.input_image_size = (image_size, image_size)
    sam.prompt_encoder.image_embedding_size = (side, side)
    sam.prompt_encoder.mask_input_size = (4 * side, 4 * side)
