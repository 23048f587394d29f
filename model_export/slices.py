"""segment-anything's attention over the whole image, some rows of queries at a time.

What all tokens take of all tokens is the largest tensor of the encoder by far: 0.8 GB in f32, with ViT-B's 12 heads and
4096 tokens. Queries do not depend on one another, so a few rows of the image at a time give the same answer, and take a
fraction of that.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from segment_anything.modeling import ImageEncoderViT
    from segment_anything.modeling.image_encoder import Attention

ROWS = 16


class SlicedAttention(nn.Module):
    """What segment-anything's `Attention` answers, its weights included."""

    def __init__(self, attention: "Attention", rows: int) -> None:
        super().__init__()
        self.attention = attention
        self.rows = rows

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend from each token (B, H, W, C) to all."""
        source = self.attention
        b, height, width, c = tokens.shape
        qkv = source.qkv(tokens).reshape(b, height * width, 3, source.num_heads, -1).permute(2, 0, 3, 1, 4)
        queries, keys, values = qkv.reshape(3, b * source.num_heads, height * width, -1).unbind(0)
        slices = queries.unflatten(1, (height, width)).split(self.rows, dim=1)
        starts = range(0, height, self.rows)
        taken = [
            self._attend(part, keys, values, (height, width), start) for part, start in zip(slices, starts, strict=True)
        ]
        out = torch.cat(taken, dim=1).reshape(b, source.num_heads, height, width, -1)
        return source.proj(out.permute(0, 2, 3, 1, 4).reshape(b, height, width, c))

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, size: tuple[int, int], start: int) -> Tensor:
        """Queries (B·heads, rows, W, D) of the rows from `start` on: (B·heads, rows·W, D)."""
        logits = (queries.flatten(1, 2) * self.attention.scale) @ keys.transpose(-2, -1)
        if self.attention.use_rel_pos:
            logits = self._placed(logits, queries, size, start)
        return logits.softmax(dim=-1) @ values

    def _placed(self, logits: Tensor, queries: Tensor, size: tuple[int, int], start: int) -> Tensor:
        """Logits (B·heads, rows·W, H·W), with each query against its distance to each token, in rows and in columns."""
        from segment_anything.modeling.image_encoder import get_rel_pos

        height, width = size
        rows = get_rel_pos(height, height, self.attention.rel_pos_h)[start : start + self.rows]
        columns = get_rel_pos(width, width, self.attention.rel_pos_w)
        by_row = torch.einsum("bhwc,hkc->bhwk", queries, rows)
        by_column = torch.einsum("bhwc,wkc->bhwk", queries, columns)
        cells = logits.reshape(len(logits), -1, width, height, width)
        return (cells + by_row[..., :, None] + by_column[..., None, :]).reshape(logits.shape)


@contextlib.contextmanager
def sliced(image_encoder: "ImageEncoderViT") -> Iterator[None]:
    """While this lasts, blocks without windows attend in slices; an encoder that has none is left alone."""
    blocks = [block for block in getattr(image_encoder, "blocks", ()) if block.window_size == 0]
    before = [block.attn for block in blocks]
    for block in blocks:
        block.attn = SlicedAttention(block.attn, ROWS)
    try:
        yield
    finally:
        for block, attention in zip(blocks, before, strict=True):
            block.attn = attention
