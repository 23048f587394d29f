"""What lens, sensor and file format do to a picture."""

import cv2
import numpy as np
import numpy.typing as npt

from model_export.builtin.scenes import textures
from model_export.builtin.scenes.textures import Array, Rng


def _light(rng: Rng, rgb: Array) -> Array:
    h, w = rgb.shape[:2]
    if rng.random() < 0.3:
        rgb = rgb * (1 + rng.uniform(0.05, 0.3) * textures.ramp(rng, h, w)[..., None])
    if rng.random() < 0.3:
        rgb = 0.5 + (rgb - 0.5) * rng.uniform(0.5, 1.1) + rng.uniform(-0.08, 0.08)
    return rgb


def _sensor(rng: Rng, rgb: Array, rough: float) -> Array:
    if rng.random() < 0.5 * rough:
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.4, 1.4))
    if rng.random() < 0.6 * rough:
        channels = 1 if rng.random() < 0.4 else 3
        grain = rng.standard_normal((*rgb.shape[:2], channels), dtype=np.float32)
        rgb = rgb + rng.uniform(0.005, 0.05) * grain
    return rgb


def _jpeg(rng: Rng, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    quality = int(rng.integers(30, 96))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def expose(rng: Rng, rgb: Array, *, gray: bool, rough: float) -> npt.NDArray[np.uint8]:
    """The picture as a camera would deliver it, uint8 (H, W, 3): light, blur, noise, compression, perhaps no color.

    `rough` scales how often blur and noise come in.
    """
    rgb = _sensor(rng, _light(rng, rgb), rough)
    image = np.clip(rgb * 255 + 0.5, 0, 255).astype(np.uint8)
    if gray:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    return _jpeg(rng, image) if rng.random() < 0.35 * rough else image
