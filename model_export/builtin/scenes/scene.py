"""Whole scenes: a background, objects over one another, then what a camera does to it all."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from model_export.builtin.scenes import camera, shapes, textures
from model_export.builtin.scenes.painting import Canvas, Surface, paint
from model_export.builtin.scenes.textures import Array, Rng

HELD_OUT_SEED = 10_000_000
"""Seeds from here on are for measuring; training draws its seeds below."""

MIN_AREA, MAX_AREA = 0.003, 0.40
_ASPECTS = (1.0, 4 / 3, 3 / 2, 16 / 9, 3 / 4, 2 / 3)
_ASPECT_WEIGHTS = (0.2, 0.25, 0.2, 0.1, 0.15, 0.1)


@dataclass(frozen=True)
class Scene:
    """A picture and its objects.

    `rgb` is uint8 (H, W, 3). `labels` is uint8 (H, W): 0 where no object is, n on the visible part of object n.
    `names` are the objects' kinds (a key of `shapes.KINDS`, or "coin"), `names[n - 1]` for label n.
    """

    rgb: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    names: tuple[str, ...]

    def masks(self) -> list[npt.NDArray[np.bool_]]:
        """The visible part of each object, bool (H, W), in the order of `names`."""
        return [self.labels == n + 1 for n in range(len(self.names))]


@dataclass(frozen=True)
class _Plan:
    """What a scene is to be like."""

    count: int
    smallest: float
    largest: float
    contrast: float
    spread: bool = False
    same_kind: bool = False
    coins: bool = False
    plain: bool = False
    busy: float = 0.5
    gray: bool = False
    rough: float = 1.0


def _plan(rng: Rng) -> _Plan:
    contrast = float(rng.choice([0.07, 0.12, 0.2, 0.3], p=[0.1, 0.2, 0.35, 0.35]))
    gray = rng.random() < 0.22
    style = rng.random()
    if style < 0.52:
        return _Plan(int(rng.integers(3, 13)), MIN_AREA, 0.22, contrast, spread=rng.random() < 0.5, gray=gray)
    if style < 0.64:
        return _Plan(int(rng.integers(6, 26)), 0.006, 0.02, contrast, spread=True, same_kind=True, gray=gray)
    if style < 0.75:
        count = int(rng.integers(6, 26))
        return _Plan(count, 0.005, 0.025, 0.1, spread=True, coins=True, busy=0.3, gray=rng.random() < 0.8)
    if style < 0.84:
        return _Plan(int(rng.integers(1, 5)), MIN_AREA, 0.3, 0.3, spread=True, plain=True, busy=0.0, rough=0.3)
    if style < 0.93:
        return _Plan(int(rng.integers(1, 5)), 0.08, MAX_AREA, contrast, gray=gray)
    return _Plan(int(rng.integers(8, 24)), MIN_AREA, 0.06, contrast, busy=1.0, gray=gray)


def _background(rng: Rng, h: int, w: int, plan: _Plan) -> tuple[Array, Array]:
    """The picture before any object, and its main color."""
    base = np.float32(rng.uniform(0.2, 0.7)) * np.ones(3, np.float32) if plan.coins else textures.color(rng)
    rgb = np.tile(base, (h, w, 1))
    if plan.plain:
        return rgb, base
    if rng.random() < plan.busy:
        other = textures.color_apart(rng, base, 0.12 if plan.busy < 1 else 0.3)
        grain = float(np.exp(rng.uniform(np.log(4), np.log(max(h, w) / 3))))
        share = (textures.pattern(rng, h, w, grain)[..., None] + 1) / 2 * rng.uniform(0.2, 0.9)
        rgb = rgb * (1 - share) + other * share
    if rng.random() < 0.7 or plan.coins:
        rgb = rgb + rng.uniform(0.04, 0.22) * textures.ramp(rng, h, w)[..., None]
    rgb = rgb + rng.uniform(0, 0.05) * textures.clouds(rng, h, w, max(h, w) / 6)[..., None]
    return np.clip(rgb, 0, 1).astype(np.float32), base


def _surface(rng: Rng, base: Array, plan: _Plan) -> Surface:
    color = textures.color_apart(rng, base, plan.contrast)
    if plan.plain and rng.random() < 0.6:
        return Surface(color, color)
    patterned = rng.random() < 0.5
    second = textures.color_apart(rng, color, 0.1 if rng.random() < 0.6 else 0.25)
    return Surface(
        color=color,
        second=second,
        pattern=rng.uniform(0.2, 0.9) if patterned else 0.0,
        decals=int(rng.integers(1, 5)) if rng.random() < 0.17 else 0,
        light=rng.uniform(0.03, 0.18) if rng.random() < 0.5 else 0.0,
        bulge=rng.uniform(0.06, 0.25) if rng.random() < 0.4 else 0.0,
        rim=rng.uniform(-0.3, 0.3) if rng.random() < 0.25 else 0.0,
        relief=rng.uniform(0.05, 0.25) if rng.random() < 0.12 else 0.0,
        shadow=rng.uniform(0.2, 0.6) if rng.random() < 0.4 else 0.0,
        softness=rng.uniform(0.4, 1.5) if rng.random() < 0.3 else 0.0,
    )


def _coin_surface(rng: Rng, base: Array, tone: float) -> Surface:
    level = np.clip(base + tone + rng.normal(0, 0.05), 0.03, 0.97).astype(np.float32)
    tint = rng.uniform(-0.04, 0.04, 3).astype(np.float32)
    return Surface(
        color=level + tint,
        second=np.clip(level * rng.uniform(0.6, 0.95), 0, 1).astype(np.float32),
        pattern=rng.uniform(0.1, 0.7),
        light=rng.uniform(0, 0.08),
        bulge=rng.uniform(0.0, 0.15),
        rim=rng.uniform(-0.25, 0.15),
        relief=rng.uniform(0.04, 0.28),
        shadow=rng.uniform(0.1, 0.5) if rng.random() < 0.5 else 0.0,
        softness=rng.uniform(0.3, 1.2),
    )


def _areas(rng: Rng, plan: _Plan) -> list[float]:
    """Shares of the picture, largest first so that small things come to lie on top; at most two thirds of it in all."""
    if plan.coins or plan.same_kind:
        middle = np.exp(rng.uniform(np.log(plan.smallest), np.log(plan.largest)))
        drawn = middle * np.exp(rng.normal(0, 0.25, plan.count))
    else:
        drawn = np.exp(rng.uniform(np.log(plan.smallest * 1.2), np.log(plan.largest), plan.count))
    drawn = np.sort(np.clip(drawn, plan.smallest * 1.1, plan.largest))[::-1]
    kept = drawn[: max(int((np.cumsum(drawn) < 0.66).sum()), 1)]
    return [float(a) for a in kept]


def _place(rng: Rng, labels: npt.NDArray[np.uint8], share: float, plan: _Plan) -> npt.NDArray[np.float64]:
    """Where to put an object: of a few random spots, the freest where the plan spreads them."""
    h, w = labels.shape
    margin = 0.42 * np.sqrt(share * h * w)
    low, high = np.minimum([margin, margin], [w / 2, h / 2]), np.maximum([w - margin, h - margin], [w / 2, h / 2])
    spots = rng.uniform(low, high, (24 if plan.spread else 2, 2))
    reach = int(1.25 * np.sqrt(share * h * w / np.pi)) + 2

    def taken(spot: npt.NDArray[np.float64]) -> int:
        x, y = int(spot[0]), int(spot[1])
        return int(np.count_nonzero(labels[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]))

    return min(spots, key=taken)


def _objects(rng: Rng, base: Array, plan: _Plan) -> Iterator[tuple[str, shapes.Contours, Surface, float]]:
    """Kind, outline, surface and share of the picture of each object to draw."""
    kind = shapes.random_kind(rng)
    surface = _surface(rng, base, plan)
    tone = float(rng.choice([-1, 1, 1])) * rng.uniform(0.08, 0.35)
    for share in _areas(rng, plan):
        if plan.coins:
            wobble = shapes.disc(rng)[0] * [1, rng.uniform(0.93, 1)]
            yield "coin", [wobble], _coin_surface(rng, base, tone), share
            continue
        if not plan.same_kind:
            kind, surface = shapes.random_kind(rng), _surface(rng, base, plan)
        elif rng.random() < 0.5:
            surface = replace(surface, color=np.clip(surface.color + rng.normal(0, 0.03), 0, 1).astype(np.float32))
        yield kind, shapes.KINDS[kind][0](rng), surface, share


def _keep_visible(labels: npt.NDArray[np.uint8], drawn: list[str]) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """Drop what is hidden or cut to crumbs, keep each object's main pieces, number the rest from 1."""
    out, names = np.zeros_like(labels), []
    for number, name in enumerate(drawn, 1):
        mask = (labels == number).astype(np.uint8)
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        if count < 2:
            continue
        sizes = stats[1:, cv2.CC_STAT_AREA]
        main = np.flatnonzero(sizes >= 0.15 * sizes.max()) + 1
        if MIN_AREA * 0.9 * mask.size <= sizes.max() and len(main) <= 3:
            names.append(name)
            out[np.isin(pieces, main)] = len(names)
    return out, tuple(names)


def _attempt(rng: Rng, h: int, w: int) -> Scene:
    plan = _plan(rng)
    rgb, base = _background(rng, h, w, plan)
    canvas = Canvas(rgb, np.zeros((h, w), np.uint8), rng.uniform(0, 2 * np.pi))
    names: list[str] = []
    for kind, outline, surface, share in _objects(rng, base, plan):
        center = _place(rng, canvas.labels, share, plan)
        placed = shapes.fit(outline, share * h * w, center, rng.uniform(0, 2 * np.pi))
        names.append(kind)
        paint(rng, canvas, placed, surface, len(names))
    labels, kept = _keep_visible(canvas.labels, names)
    return Scene(camera.expose(rng, canvas.rgb, gray=plan.gray, rough=plan.rough), labels, kept)


def draw_scene(seed: int, size: int = 512) -> Scene:
    """The scene of a seed, its longer side `size` pixels; it has one object at least.

    Equal arguments give equal scenes. Seeds of `HELD_OUT_SEED` and above are kept from training.
    """
    rng = np.random.default_rng(seed)
    aspect = float(rng.choice(_ASPECTS, p=_ASPECT_WEIGHTS))
    h, w = (round(size / aspect), size) if aspect >= 1 else (size, round(size * aspect))
    while True:
        scene = _attempt(rng, h, w)
        if scene.names:
            return scene
