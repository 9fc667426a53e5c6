"""Run the benchmarks and print the table: `python -m benchmarks [--only NAME] [--json FILE]`."""

import argparse
import importlib
import json
import pkgutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import benchmarks
from alignrec.runtime import set_threads
from benchmarks.measure import Row


def main() -> None:
    """Parse, measure, print."""
    measures = collect()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", metavar="NAME", action="append", help="measures whose name contains NAME (repeatable)"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the rows to FILE")
    options = parser.parse_args()
    wanted = {n: f for n, f in measures.items() if not options.only or any(part in n for part in options.only)}
    if not wanted:
        parser.error(f"no measure is called {options.only}; there are: {', '.join(measures)}")
    set_threads(1)
    torch.set_num_interop_threads(1)
    console = Console()
    rows = []
    for name, measure in wanted.items():
        with console.status(f"measuring {name}"):
            rows += measure()
    console.print(table(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) | {"ratio": row.ratio} for row in rows], indent=2) + "\n")


def collect() -> dict[str, Callable[[], list[Row]]]:
    """Every measure of every module of this package, by name."""
    found: dict[str, Callable[[], list[Row]]] = {}
    for info in pkgutil.iter_modules(benchmarks.__path__):
        if info.name == "__main__":
            continue
        module = importlib.import_module(f"benchmarks.{info.name}")
        for name, measure in getattr(module, "MEASURES", {}).items():
            found[name] = lambda measure=measure: [measure()]
        if hasattr(module, "run"):
            found[info.name] = lambda run=module.run: [_row(line) for line in run()]
    return found


def _row(line: dict[str, Any]) -> Row:  # Any: a name, and numbers
    return Row(line["name"], line["plain_s"], line["ours_s"], line.get("goal"))


def table(rows: list[Row]) -> Table:
    """The rows as the terminal shows them."""
    result = Table(title="one thread, medians of CPU time, the two sides taking turns, each in its process")
    result.add_column("measure")
    for name in ("plain", "ours", "ratio", "goal"):
        result.add_column(name, justify="right")
    for row in rows:
        goal = f">= {row.goal:.3g}x" if row.goal else ""
        values = [f"{value:.4g} {row.unit}" for value in (row.plain, row.ours)]
        result.add_row(row.name, *values, f"{row.ratio:.2f}x", goal)
    return result


if __name__ == "__main__":
    main()
