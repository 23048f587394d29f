"""ONNX files of segment-anything's modules, for ONNX Runtime."""

import warnings
from pathlib import Path
from typing import Any


def write(encoder_file: Path, decoder_file: Path, model: Any) -> None:
    """A SAM's image encoder, and its prompt encoder (points alone) with its mask decoder."""
    import torch

    axes = {"point_coords": {0: "prompts"}, "point_labels": {0: "prompts"}}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        side, grid = model.image_encoder.img_size, model.prompt_encoder.image_embedding_size
        picture, features = torch.zeros(1, 3, side, side), torch.zeros(1, model.prompt_encoder.embed_dim, *grid)
        _write(model.image_encoder, (picture,), encoder_file, ["image"], {})
        names = ["image_embeddings", "point_coords", "point_labels"]
        _write(_points_decoder(model), (features, torch.zeros(2, 1, 2), torch.ones(2, 1)), decoder_file, names, axes)


def _write(module: Any, inputs: tuple[Any, ...], file: Path, names: list[str], axes: dict[str, Any]) -> None:
    import torch

    torch.onnx.export(module.eval(), inputs, file, input_names=names, dynamic_axes=axes, opset_version=17, dynamo=False)


def _points_decoder(model: Any) -> Any:
    """The prompt encoder without its branches on labels' values, which no trace could follow: one point a prompt."""
    import torch

    class Points(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.register_buffer("image_pe", model.prompt_encoder.get_dense_pe())

        def forward(self, features: Any, coords: Any, labels: Any) -> Any:
            source = self.model.prompt_encoder
            count = coords.shape[0]
            position = source.pe_layer.forward_with_coords(coords + 0.5, source.input_image_size)
            kinds = torch.cat([kind.weight for kind in source.point_embeddings[:2]])
            given = position + kinds[labels.long()]
            padding = source.not_a_point_embed.weight.reshape(1, 1, -1).expand(count, -1, -1)
            dense = source.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(count, -1, *source.image_embedding_size)
            sparse = torch.cat([given, padding], 1)
            return self.model.mask_decoder.predict_masks(features, self.image_pe, sparse, dense)

    return Points()
