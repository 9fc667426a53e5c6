"""The outlines of the built-in shop's twelve kinds of things, as polygons in a square from -1 to 1 (y points down)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Part", "outlines"]

Points = NDArray[np.float64]  # (n, 2)


@dataclass(frozen=True)
class Part:
    """A filled polygon. Later parts lie over earlier ones."""

    points: Points  # (n, 2)
    tone: float = 1.0  # brightness relative to the item's colour; 0 cuts a hole
    patterned: bool = True  # whether the item's texture shows on it


@cache
def outlines() -> Mapping[str, tuple[Part, ...]]:
    """The parts of each category, back to front."""
    return {name: tuple(draw()) for name, draw in _SHAPES.items()}


def _polygon(*points: tuple[float, float]) -> Points:
    return np.array(points, dtype=np.float64)


def _arc(x: float, y: float, rx: float, ry: float, start: float = 0.0, end: float = 360.0) -> Points:
    """Points on an ellipse, degrees clockwise from the right."""
    angles = np.radians(np.linspace(start, end, 40))
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)


def _box(left: float, top: float, right: float, bottom: float, radius: float = 0.05) -> Points:
    """A rectangle with round corners."""
    centres = (
        (right - radius, bottom - radius, 0),
        (left + radius, bottom - radius, 90),
        (left + radius, top + radius, 180),
        (right - radius, top + radius, 270),
    )
    return np.concatenate([_arc(x, y, radius, radius, angle, angle + 90) for x, y, angle in centres])


def _smooth(*points: tuple[float, float]) -> Points:
    """A closed curve through the points (Catmull-Rom)."""
    knots = np.array(points, dtype=np.float64)
    before, after, beyond = np.roll(knots, 1, axis=0), np.roll(knots, -1, axis=0), np.roll(knots, -2, axis=0)
    t = np.linspace(0, 1, 8, endpoint=False)[None, :, None]
    a, b, c, d = before[:, None], knots[:, None], after[:, None], beyond[:, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.asarray(curve.reshape(-1, 2))


def _stroke(line: Points, width: float, end_width: float | None = None) -> Points:
    """The outline of a line drawn with a pen whose width runs from `width` to `end_width`."""
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    aside = np.stack([-along[:, 1], along[:, 0]], axis=1)
    half = np.linspace(width, width if end_width is None else end_width, len(line))[:, None] / 2
    return np.concatenate([line + half * aside, (line - half * aside)[::-1]])


def _mirrored(*right_side: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    """A symmetric outline from its right side, top to bottom."""
    return (*right_side, *((-x, y) for x, y in reversed(right_side)))


def _mug() -> Sequence[Part]:
    return (
        Part(_stroke(_arc(0.36, 0.08, 0.38, 0.34, -90, 90), 0.17), 0.85),
        Part(_box(-0.68, -0.62, 0.4, 0.75, 0.16)),
        Part(_arc(-0.14, -0.6, 0.53, 0.15), 0.62, patterned=False),
    )


def _teapot() -> Sequence[Part]:
    spout = np.stack([np.linspace(0.4, 0.93, 20), 0.3 - 0.62 * np.linspace(0, 1, 20) ** 1.6], axis=1)
    return (
        Part(_stroke(_arc(-0.52, 0.12, 0.36, 0.34, 90, 270), 0.13), 0.8),
        Part(_stroke(spout, 0.34, 0.14), 0.9),
        Part(_arc(0.0, 0.22, 0.64, 0.54)),
        Part(_box(-0.34, 0.66, 0.34, 0.8), 0.75, patterned=False),
        Part(_arc(0.0, -0.27, 0.36, 0.14), 0.72, patterned=False),
        Part(_arc(0.0, -0.46, 0.11, 0.11), 0.85, patterned=False),
    )


def _vase() -> Sequence[Part]:
    side = _mirrored((0.26, -0.88), (0.17, -0.62), (0.24, -0.38), (0.55, 0.1), (0.52, 0.48), (0.3, 0.88))
    return (Part(_smooth(*side)), Part(_arc(0.0, -0.88, 0.26, 0.08), 0.55, patterned=False))


def _lamp() -> Sequence[Part]:
    return (
        Part(_box(-0.06, -0.1, 0.06, 0.75), 0.5, patterned=False),
        Part(_box(-0.42, 0.72, 0.42, 0.9, 0.08), 0.5, patterned=False),
        Part(_polygon((-0.36, -0.9), (0.36, -0.9), (0.72, 0.12), (-0.72, 0.12))),
        Part(_box(-0.72, 0.06, 0.72, 0.14, 0.03), 0.75, patterned=False),
    )


def _chair() -> Sequence[Part]:
    legs = [Part(_box(x - 0.07, 0.3, x + 0.07, 0.95), 0.5, patterned=False) for x in (-0.48, 0.48)]
    return (
        *legs,
        Part(_box(-0.48, -0.1, -0.36, 0.2), 0.5, patterned=False),
        Part(_box(0.36, -0.1, 0.48, 0.2), 0.5, patterned=False),
        Part(_box(-0.58, -0.95, 0.58, 0.02, 0.2)),
        Part(_box(-0.66, 0.12, 0.66, 0.4, 0.1), 0.86),
    )


def _clock() -> Sequence[Part]:
    angles = np.radians(np.arange(0, 360, 30))
    marks = [Part(_arc(0.5 * np.cos(a), 0.5 * np.sin(a), 0.04, 0.04), 0.35, patterned=False) for a in angles]
    return (
        Part(_arc(0.0, 0.0, 0.9, 0.9)),
        Part(_arc(0.0, 0.0, 0.6, 0.6), 1.5, patterned=False),
        *marks,
        Part(_stroke(_polygon((0.0, 0.0), (0.26, -0.2)), 0.09), 0.3, patterned=False),
        Part(_stroke(_polygon((0.0, 0.0), (-0.1, -0.44)), 0.07), 0.3, patterned=False),
        Part(_arc(0.0, 0.0, 0.06, 0.06), 0.3, patterned=False),
    )


def _cushion() -> Sequence[Part]:
    outline = _smooth(
        (-0.84, -0.84), (0.0, -0.74), (0.84, -0.84), (0.74, 0.0),
        (0.84, 0.84), (0.0, 0.74), (-0.84, 0.84), (-0.74, 0.0),
    )  # fmt: skip
    return (Part(outline), Part(_arc(0.0, 0.0, 0.1, 0.1), 0.6, patterned=False))


def _shirt() -> Sequence[Part]:
    side = _mirrored(
        (0.26, -0.78), (0.52, -0.7), (0.98, -0.28), (0.74, 0.02), (0.52, -0.16), (0.52, 0.88),
    )  # fmt: skip
    return (
        Part(_polygon(*side)),
        Part(_arc(0.0, -0.78, 0.27, 0.2, 0, 180), 0.6, patterned=False),
        Part(_arc(0.0, -0.82, 0.22, 0.16, 0, 180), 0.0),
    )


def _sock() -> Sequence[Part]:
    outline = _smooth(
        (-0.5, -0.82), (-0.05, -0.86), (0.08, -0.4), (0.1, 0.12), (0.48, 0.32), (0.8, 0.52),
        (0.76, 0.82), (0.4, 0.9), (-0.1, 0.7), (-0.4, 0.4), (-0.44, -0.1), (-0.5, -0.5),
    )  # fmt: skip
    return (Part(outline), Part(_box(-0.58, -0.95, 0.1, -0.64, 0.08), 0.7, patterned=False))


def _hat() -> Sequence[Part]:
    crown = _smooth(*_mirrored((0.3, -0.62), (0.52, -0.34), (0.58, 0.2), (0.6, 0.45)))
    return (
        Part(_arc(0.0, 0.42, 0.98, 0.26), 0.82),
        Part(crown),
        Part(_polygon((-0.6, 0.14), (0.6, 0.14), (0.61, 0.4), (-0.61, 0.4)), 0.42, patterned=False),
    )


def _bag() -> Sequence[Part]:
    return (
        Part(_stroke(_arc(0.0, -0.16, 0.4, 0.66, 180, 360), 0.12), 0.6, patterned=False),
        Part(_smooth(*_mirrored((0.6, -0.22), (0.7, -0.1), (0.84, 0.7), (0.7, 0.86)))),
        Part(_box(-0.68, -0.26, 0.68, -0.06, 0.06), 0.75, patterned=False),
        Part(_arc(0.0, -0.06, 0.09, 0.09), 1.5, patterned=False),
    )


def _umbrella() -> Sequence[Part]:
    scallops = [_arc(x, 0.1, 0.225, 0.13, 0, -180) for x in (0.675, 0.225, -0.225, -0.675)]
    canopy = np.concatenate([_arc(0.0, 0.1, 0.9, 0.95, 180, 360), *scallops])
    return (
        Part(_box(-0.04, -0.1, 0.04, 0.78, 0.03), 0.45, patterned=False),
        Part(_stroke(_arc(0.14, 0.76, 0.14, 0.16, 0, 180), 0.08), 0.45, patterned=False),
        Part(_box(-0.03, -0.98, 0.03, -0.8, 0.02), 0.45, patterned=False),
        Part(canopy),
    )


_SHAPES: Mapping[str, Callable[[], Sequence[Part]]] = {
    "mug": _mug,
    "teapot": _teapot,
    "vase": _vase,
    "lamp": _lamp,
    "chair": _chair,
    "clock": _clock,
    "cushion": _cushion,
    "shirt": _shirt,
    "sock": _sock,
    "hat": _hat,
    "bag": _bag,
    "umbrella": _umbrella,
}
