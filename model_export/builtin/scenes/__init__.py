"""Drawn pictures with the exact mask of every object: what the built-in model learns from and is measured on.

`draw_scene(seed)` always gives the same picture. numpy and OpenCV only.
"""

from model_export.builtin.scenes.scene import HELD_OUT_SEED, Scene, draw_scene

__all__ = ["HELD_OUT_SEED", "Scene", "draw_scene"]
