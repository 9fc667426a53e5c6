"""The learning curve of an encoder: held-out losses and zero-shot recall by steps, as a picture.

A pre-training run that probes on the way (`catalogue.probe_every`) shows here whether its vectors get better, beside
horizontal lines for features that were there before.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alignrec.artifacts import read_json, write_bytes
from alignrec.errors import ArtifactError, UsageError
from alignrec.studies.figures.style import COLUMN, LINE_STYLES, PAGE, colour, house_style, line_style, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LearningCurve", "draw_learning_curve", "read_learning_curve"]

_PROBE = "zero-shot "
_FORMATS = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class LearningCurve:
    """Series of (step, value) by name, in the order of the steps."""

    losses: Mapping[str, tuple[tuple[int, float], ...]]
    """Of the items held out, by term."""
    probes: Mapping[str, tuple[tuple[int, float], ...]]
    """Recalls of the features on the way, by read-out and cutoff."""


def read_learning_curve(encoder: Path) -> LearningCurve:
    """The curve of the encoder folder `encoder`, finished or still in training.

    Raises:
        ArtifactError: the folder has no log of a pre-training run.
    """
    log = encoder / "metrics.jsonl"
    if not log.is_file():
        raise ArtifactError(f"{encoder} has no metrics.jsonl; give the folder of 'alignrec encode pretrain --out'")
    round_steps = int(read_json(encoder / "plan.json")["training"]["round_steps"])
    losses: dict[str, list[tuple[int, float]]] = {}
    probes: dict[str, list[tuple[int, float]]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        for name, value in entry["valid"].items():
            if name == "ica":  # minus the sum of the others
                continue
            series = probes if name.startswith(_PROBE) else losses
            series.setdefault(name.removeprefix(_PROBE), []).append((entry["epoch"] * round_steps, value))
    return LearningCurve(
        {name: tuple(points) for name, points in losses.items()},
        {name: tuple(points) for name, points in probes.items()},
    )


def draw_learning_curve(curve: LearningCurve, out: Path, baselines: Mapping[str, float] | None = None) -> None:
    """Write the curve to `out`; its ending decides the format: png, svg or pdf.

    Args:
        curve: from `read_learning_curve`.
        out: file to write; one that exists is replaced.
        baselines: zero-shot recall of other features by name, drawn as horizontal lines.

    Raises:
        MissingExtraError: matplotlib is not installed.
        UsageError: another ending, or a run without a single line of log.
    """
    if out.suffix.lower() not in _FORMATS:
        raise UsageError(f"cannot draw to {out.name!r}; let it end in {', '.join(_FORMATS)}")
    if not curve.losses:
        raise UsageError("there is nothing to draw yet; the first line of the log comes after the first round")
    with house_style():
        drawn = 2 if curve.probes else 1
        figure, axes = panels(drawn, per_row=2, width=PAGE if curve.probes else COLUMN, height=7.0)
        _plot(axes[0], curve.losses)
        axes[0].set(xlabel="steps", ylabel="loss on held-out items", ylim=(0, None))
        if curve.probes:
            _plot(axes[1], curve.probes)
            for place, (name, value) in enumerate((baselines or {}).items()):
                style = LINE_STYLES[place % len(LINE_STYLES)]
                axes[1].axhline(value, color="0.45", linestyle=style, linewidth=1, label=name)
            axes[1].set(xlabel="steps", ylabel="zero-shot recall", ylim=(0, None))
        for panel in axes:
            panel.legend()
        stream = io.BytesIO()
        undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}  # the same run gives the same picture
        ending = out.suffix.lower()
        figure.savefig(stream, format=ending.removeprefix("."), dpi=200, metadata=undated.get(ending))
        write_bytes(out, stream.getvalue())


def _plot(panel: "Axes", series: Mapping[str, tuple[tuple[int, float], ...]]) -> None:
    for place, (name, points) in enumerate(series.items()):
        steps, values = zip(*points, strict=True)
        panel.plot(
            steps,
            values,
            label=name,
            color=colour(place),
            linestyle=line_style(place),
            marker="o",
            markersize=2.5,
            linewidth=1.2,
        )
