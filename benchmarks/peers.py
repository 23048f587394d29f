"""What people would otherwise use, for a process of its own: each function makes the job of a `Side`.

segment-anything in torch as it is (f32, or bf16 autocast), ONNX Runtime, Label Studio's SDK. The weights are ours, from
the same seed or the same file.
"""

import contextlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.sides import Job

Rgb = NDArray[np.uint8]
Floats = NDArray[np.float32]
Arithmetic = Literal["f32", "bf16"]
THIN = 8


def sam(architecture: str, seed: int | None) -> Any:
    """segment-anything's model: seeded random weights, or the architecture's own."""
    from model_export import architectures
    from model_export.weights import Weights, build

    return build(architectures.find(architecture), Weights(seed=seed))[0]


def _arithmetic(kind: Arithmetic) -> Any:
    import torch

    return torch.autocast("cpu", torch.bfloat16) if kind == "bf16" else contextlib.nullcontext()


def torch_encoder(architecture: str, seed: int | None, arithmetic: Arithmetic = "f32") -> Job:
    """Run: picture, uint8 (H, W, 3) → embedding, float32 (1, C, h, w), by the real `SamPredictor`."""
    from benchmarks.official import predictor_class

    predictor = predictor_class()(sam(architecture, seed))

    def run(rgb: Rgb) -> Any:
        with _arithmetic(arithmetic):
            predictor.set_image(rgb)
        return predictor.get_image_embedding()

    return Job(run, lambda features: features.float().numpy())


def torch_decoder(architecture: str, seed: int | None, embedding: Floats, size: tuple[int, int]) -> Job:
    """Run: points, float64 (B, 2), in original pixels → logits (B, 4, h, w), thinned out, one prompt a point.

    `SamPredictor.predict_torch` without bringing the masks to full size, which our decoder doesn't do either.
    """
    import torch

    from benchmarks.official import predictor_class

    model = sam(architecture, seed)
    features = torch.from_numpy(embedding)
    transform = predictor_class()(model).transform

    @torch.no_grad()
    def run(points: NDArray[np.float64]) -> Any:
        coords = torch.from_numpy(transform.apply_coords(points, size).astype(np.float32))[:, None]
        sparse, dense = model.prompt_encoder((coords, torch.ones(len(points), 1)), None, None)
        image_pe = model.prompt_encoder.get_dense_pe()
        return model.mask_decoder.predict_masks(features, image_pe, sparse, dense)[0]

    return Job(run, lambda logits: logits[:, :, ::THIN, ::THIN].numpy())


def onnx_encoder(file: Path, side: int) -> Job:
    """Run: picture, uint8 (H, W, 3) → embedding, float32 (1, C, h, w). Preprocessing as segment-anything's."""
    from sam_backend.sam import geometry

    session = _session(file)
    mean, deviation = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])

    def run(rgb: Rgb) -> Any:
        canvas, (height, width) = geometry.resize_and_pad(rgb, side)
        pixels = np.zeros((1, side, side, 3), np.float32)
        pixels[0, :height, :width] = (canvas[0, :height, :width] - mean) / deviation
        return session.run(None, {"image": np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))})[0]

    return Job(run, np.asarray)


def onnx_decoder(file: Path, embedding: Floats, size: tuple[int, int], side: int) -> Job:
    """Run: points, float64 (B, 2), in original pixels → logits (B, 4, h, w), thinned out."""
    session = _session(file)
    scale = side / max(size)

    def run(points: NDArray[np.float64]) -> Any:
        coords, labels = (points * scale).astype(np.float32)[:, None], np.ones((len(points), 1), np.float32)
        return session.run(None, {"image_embeddings": embedding, "point_coords": coords, "point_labels": labels})[0]

    return Job(run, lambda logits: logits[:, :, ::THIN, ::THIN])


def _session(file: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def sdk_rle(masks: list[NDArray[np.bool_]]) -> Job:
    """Run: number of a mask → its stream. `mask2rle` is given what it wants: bytes of 0 and 255."""
    from label_studio_sdk.converter.brush import mask2rle

    painted = [mask * np.uint8(255) for mask in masks]
    return Job(lambda number: mask2rle(painted[number]), bytes)


def official_generator(architecture: str, seed: int | None) -> Job:
    """Run: picture, our parameters → masks, bool (H, W) each, by the real `SamAutomaticMaskGenerator`."""
    from benchmarks.everything import official

    model = sam(architecture, seed)
    return Job(lambda rgb, parameters: official(model, parameters)(rgb), list)
