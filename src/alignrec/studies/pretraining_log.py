"""How an encoder got better: held-out losses and zero-shot recall by step, from the log of its run."""

import json
from pathlib import Path
from typing import Any

from rich.table import Table

from alignrec.artifacts import read_json
from alignrec.errors import ArtifactError
from alignrec.training import RunFiles

__all__ = ["pretraining_table"]

_ROWS = 20


def pretraining_table(folder: Path) -> Table:
    """The table of the pre-training run in `folder`: the rounds that were probed, or where none was, up to 20 of them.

    Losses are those of the held-out items; the last round is always there.

    Raises:
        ArtifactError: no log of such a run in `folder`.
    """
    plan, metrics = folder / "plan.json", RunFiles(folder).metrics
    if not (plan.is_file() and metrics.is_file()):
        raise ArtifactError(f"no log of a pre-training run in {folder}; make one with 'alignrec encode pretrain'")
    round_steps = int(read_json(plan)["training"]["round_steps"])
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    probes = list(dict.fromkeys(name for line in lines for name in line["valid"] if name.startswith("zero-shot")))
    losses = [name for name in lines[-1]["valid"] if name != "ica" and name not in probes] if lines else []
    table = Table(title="held-out losses and zero-shot recall by step" if probes else "held-out losses by step")
    for name in ("step", *losses, *probes):
        table.add_column(name, justify="right")
    for line in _shown(lines, probes):
        values = [f"{line['valid'][name]:.4f}" if name in line["valid"] else "" for name in (*losses, *probes)]
        table.add_row(f"{line['epoch'] * round_steps:,}", *values)
    return table


def _shown(lines: list[dict[str, Any]], probes: list[str]) -> list[dict[str, Any]]:  # Any: lines of metrics.jsonl
    every = -(-len(lines) // _ROWS)
    shown = []
    for line in lines:
        left = len(lines) - line["epoch"]
        wanted = any(name in line["valid"] for name in probes) if probes else left % every == 0
        if wanted or left == 0:
            shown.append(line)
    return shown
