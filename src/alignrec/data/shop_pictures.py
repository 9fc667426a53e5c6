"""Draws the pictures of the built-in shop: an outline by category, filled with a colour and a texture, on a backdrop.

Place, size, rotation, shade, backdrop and noise are random, so that no single pixel tells what an item is.
"""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from alignrec.data.shop_shapes import outlines

__all__ = ["draw_picture"]

Plane = NDArray[np.float32]  # (S, S)

_RGB: Mapping[str, tuple[int, int, int]] = {
    "red": (206, 44, 52),
    "orange": (238, 128, 36),
    "yellow": (240, 204, 62),
    "green": (84, 160, 70),
    "teal": (32, 148, 146),
    "blue": (48, 92, 196),
    "purple": (124, 66, 168),
    "pink": (238, 130, 174),
}
_CREAM = np.array([250, 244, 230], dtype=np.float32)[:, None, None]
_FINE = 3  # outlines are drawn this many times larger and averaged down: smooth edges
_TONE_STEP = 150  # tone 1 is stored as 150 of 255, so that parts may be brighter than the item's colour


def draw_picture(category: str, colour: str, texture: str, rng: np.random.Generator, size: int = 96) -> Image.Image:
    """One picture of `size` x `size` pixels; `rng` decides everything that the three words do not."""
    angle = np.radians(rng.uniform(-25, 25))
    scale = rng.uniform(0.58, 0.8)
    shift = rng.uniform(-1, 1, size=2) * (0.86 - scale)  # the outline stays inside the picture
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    cover, tone, patterned = _outline_planes(category, scale * turn, shift, size)
    x, y = _grid(size)
    across, down = _turned(x - np.float32(shift[0]), y - np.float32(shift[1]), angle)
    pattern = _TEXTURES[texture](across / np.float32(scale), down / np.float32(scale), rng)  # moves with the outline

    ink = _jittered(_RGB[colour], rng)
    accent = _CREAM if rng.random() < 0.6 else np.float32(0.42) * ink
    light = tone * (1.06 - 0.07 * x - 0.11 * y)  # from above left
    body = (ink + (accent - ink) * (0.85 * pattern * patterned)) * light
    backdrop = _backdrop(x, y, rng) * (1 - 0.35 * _shadow(cover))
    image = backdrop + (body - backdrop) * cover  # (3, S, S)
    image += 3 * rng.standard_normal(image.shape, dtype=np.float32)
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy())


@cache
def _grid(size: int) -> tuple[Plane, Plane]:
    """Positions of the pixels' centres from -1 to 1: right, down."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    x, y = np.meshgrid(axis, axis)
    return x, y


def _outline_planes(
    category: str, transform: NDArray[np.float64], shift: NDArray[np.float64], size: int
) -> tuple[Plane, Plane, Plane]:
    """How far each pixel is covered (0..1), the tone there, and whether the texture shows."""
    canvas = Image.new("RGB", (size * _FINE, size * _FINE))
    draw = ImageDraw.Draw(canvas)
    for part in outlines()[category]:
        corners = ((part.points @ transform.T + shift) + 1) * (size * _FINE / 2)
        fill = (255, round(part.tone * _TONE_STEP), 255 * part.patterned) if part.tone else (0, 0, 0)
        draw.polygon(corners.ravel().tolist(), fill=fill)
    planes = np.asarray(canvas.reduce(_FINE), dtype=np.float32)
    cover = planes[..., 0] / np.float32(255)
    inside = np.maximum(cover, np.float32(1e-3))  # tone and texture were averaged with the empty surroundings: undo
    tone = planes[..., 1] / np.float32(_TONE_STEP) / inside
    return cover, tone, planes[..., 2] / np.float32(255) / inside


def _shadow(cover: Plane) -> Plane:
    """A soft shadow under the outline, shifted down and to the right."""
    size = cover.shape[0]
    coarse = Image.fromarray(cover).reduce(max(1, size // 24))  # shrunk and grown again: cheaper than a blur
    offset = max(1, size // 32)
    shadow = np.zeros_like(cover)
    shadow[offset:, offset:] = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))[:-offset, :-offset]
    return shadow


def _backdrop(x: Plane, y: Plane, rng: np.random.Generator) -> NDArray[np.float32]:
    """A pale gradient between two tints, (3, S, S)."""
    tints = (rng.uniform(196, 248, size=2) + rng.uniform(-16, 16, size=(3, 2))).astype(np.float32)[..., None, None]
    along, _ = _turned(x, y, rng.uniform(0, 2 * np.pi))
    return np.asarray(tints[:, 0] + (tints[:, 1] - tints[:, 0]) * (0.5 + 0.35 * along))


def _jittered(ink: tuple[int, int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """The colour, a little lighter or darker and a little off, (3, 1, 1)."""
    shade = np.array(ink) * rng.uniform(0.85, 1.12) + rng.normal(0, 9, size=3)
    return np.clip(shade, 8, 250).astype(np.float32)[:, None, None]


def _edge(value: Plane, softness: float) -> Plane:
    """0 where `value` is well below zero, 1 well above, a ramp of width `softness` between."""
    return np.asarray(np.clip(value / softness + 0.5, 0, 1))


def _turned(x: Plane, y: Plane, angle: float) -> tuple[Plane, Plane]:
    """Coordinates along axes turned by `angle`."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def _plain(x: Plane, _y: Plane, _rng: np.random.Generator) -> Plane:
    return np.zeros_like(x)


def _striped(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    across, _ = _turned(x, y, rng.uniform(0, np.pi))
    return _edge(np.sin(2 * np.pi * (rng.uniform(1.7, 2.4) * across + rng.random())), 0.5)


def _dotted(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    across, down = _turned(x, y, rng.uniform(0, np.pi / 2))
    pace = rng.uniform(0.3, 0.4)
    row = np.floor(down / pace)
    dx = (across / pace + 0.5 * (row % 2) + rng.random()) % 1 - 0.5  # every second row is shifted by half a step
    dy = (down / pace) % 1 - 0.5
    return _edge(0.3 - np.hypot(dx, dy), 0.15)


def _chequered(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    across, down = _turned(x, y, rng.uniform(0, np.pi / 2))
    pace = rng.uniform(1.3, 1.8)
    waves = np.sin(2 * np.pi * (pace * across + rng.random())) * np.sin(2 * np.pi * (pace * down + rng.random()))
    return _edge(waves, 0.3)


def _zigzag(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    across, down = _turned(x, y, rng.choice([0.0, np.pi / 2]))
    tooth = np.abs((across * rng.uniform(1.3, 1.8) + rng.random()) % 1 - 0.5)
    return _edge(np.sin(2 * np.pi * (rng.uniform(1.5, 2.0) * down + 1.1 * tooth + rng.random())), 0.5)


def _marbled(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    bend = np.zeros_like(x)
    for octave in range(3):
        across, _ = _turned(x, y, rng.uniform(0, 2 * np.pi))
        bend += np.sin((3 + 3 * octave) * across + rng.uniform(0, 2 * np.pi)) / (1 + octave)
    across, _ = _turned(x, y, rng.uniform(0, np.pi))
    return (1 - np.abs(np.sin(2.2 * across + 1.5 * bend))) ** 3


_TEXTURES: Mapping[str, Callable[[Plane, Plane, np.random.Generator], Plane]] = {
    "plain": _plain,
    "striped": _striped,
    "dotted": _dotted,
    "chequered": _chequered,
    "zigzag": _zigzag,
    "marbled": _marbled,
}
