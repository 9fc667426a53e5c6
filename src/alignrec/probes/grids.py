"""Probe results as tables: one per protocol with its intervals and notes, and a wide one in the shape of a paper's.

The wide one has a row per feature table and a column per protocol and list length, as Table 3 of AlignRec (Liu et al.,
CIKM 2024); the highest figure of a column is bold.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from alignrec.probes.bootstrap import Interval
from alignrec.probes.masked import MASKED
from alignrec.probes.result import Difference, ProbeResult

__all__ = ["Grid", "WideGrid", "difference_grid", "escaped", "protocol_grids", "shown", "wide_grid"]

_NOTHING = "–"
_DIGITS = 4
_WIDE_ORDER = ("zero-shot", *MASKED.values(), "item-cf")
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def shown(share: float) -> str:
    """A share to four digits without the zero before the point: .0231."""
    return re.sub(r"^(-?)0\.", r"\1.", f"{share:.{_DIGITS}f}")


@dataclass(frozen=True)
class Grid:
    """A table of texts."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    names: int = 1  # so many columns from the left hold words, the others figures
    last_apart: bool = True  # a line above the last row

    def to_terminal(self) -> Table:
        """For a terminal of about 100 columns."""
        table = Table(title=self.title, title_justify="left", caption_justify="left", caption="\n".join(self.notes))
        for column, name in enumerate(self.head):
            table.add_column(name, justify="left" if column < self.names else "right", no_wrap=column < self.names)
        for number, row in enumerate(self.rows):
            table.add_row(*row, end_section=self.last_apart and number == len(self.rows) - 2)
        return table

    def to_markdown(self) -> str:
        """Title, table, notes."""
        marks = ["---" if column < self.names else "---:" for column in range(len(self.head))]
        lines = [self.head, marks, *self.rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return "\n\n".join(
            [f"**{self.title}**", table, *(["\n".join(f"- {n}" for n in self.notes)] if self.notes else [])]
        )


@dataclass(frozen=True)
class WideGrid:
    """Rows of figures in groups of columns; the last row is the chance level. None: not run."""

    title: str
    groups: tuple[str, ...]
    ks: tuple[int, ...]  # the columns of each group
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]

    def to_markdown(self) -> str:
        """One line of heads, the group before each list length."""
        head = ("features", *(f"{group} R@{k}" for group in self.groups for k in self.ks))
        rows = ((name, *cells) for name, cells in self._printed("**{}**"))
        return Grid(self.title, head, tuple(rows)).to_markdown()

    def to_latex(self) -> str:
        r"""A `table` for the `booktabs` package; `\label` and place are left to the paper."""
        columns, step = len(self.groups) * len(self.ks), len(self.ks)
        groups = " & ".join(rf"\multicolumn{{{step}}}{{c}}{{{escaped(group)}}}" for group in self.groups)
        rules = " ".join(rf"\cmidrule(lr){{{s}-{s + step - 1}}}" for s in range(2, columns + 2, step))
        head = " & ".join(["Features", *(f"R@{k}" for _ in self.groups for k in self.ks)])
        rows = [
            " & ".join([escaped(name), *(cell.replace(_NOTHING, "--") for cell in cells)]) + r" \\"
            for name, cells in self._printed(r"\textbf{{{}}}")
        ]
        lines = [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escaped(self.title)}}}",
            rf"  \begin{{tabular}}{{l{'r' * columns}}}",
            r"    \toprule",
            rf"    & {groups} \\",
            rf"    {rules}",
            rf"    {head} \\",
            r"    \midrule",
            *(f"    {row}" for row in rows[:-1]),
            r"    \midrule",
            f"    {rows[-1]}",
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def _printed(self, bold: str) -> Iterator[tuple[str, list[str]]]:
        """The rows as texts; the highest figure that a feature table has in a column is set into `bold`."""
        columns = zip(*(figures for _, figures in self.rows[:-1]), strict=True)
        highest = [max((round(f, _DIGITS) for f in column if f is not None), default=None) for column in columns]
        for number, (name, figures) in enumerate(self.rows):
            cells = []
            for figure, best in zip(figures, highest, strict=True):
                cell = _NOTHING if figure is None else shown(figure)
                is_best = figure is not None and number < len(self.rows) - 1 and round(figure, _DIGITS) == best
                cells.append(bold.format(cell) if is_best else cell)
            yield name, cells


def protocol_grids(
    dataset: str, results: Sequence[ProbeResult], left_out: Mapping[str, str], *, seed: int = 0
) -> Iterator[Grid]:
    """One grid per protocol; both masked ones are one, beside the recall with nothing masked.

    `left_out` says why tables were not masked; `seed` is of the bootstrap.
    """
    by_protocol: dict[str, list[ProbeResult]] = {}
    for result in results:
        by_protocol.setdefault("masked" if result.protocol in MASKED.values() else result.protocol, []).append(result)
    for protocol, found in by_protocol.items():
        if protocol == "masked":
            yield _masked_grid(dataset, found, by_protocol.get("zero-shot", []), left_out)
        else:
            yield _plain_grid(dataset, found, seed)


def _plain_grid(dataset: str, results: Sequence[ProbeResult], seed: int) -> Grid:
    first = results[0]
    rows = [row for result in results for row in _rows(result, seed)]
    rows.append(("chance", *(shown(first.chance(k)) for k in first.ks)))
    what = "items" if first.protocol == "item-cf" else "users"
    counts = f"{len(first.cases)} {what}, {first.skipped} skipped; in brackets the 95 % interval over them (bootstrap)"
    notes = dict.fromkeys(note for result in results for note in result.notes)
    title = f"{first.protocol} on {dataset}"
    return Grid(title, ("features", *(f"R@{k}" for k in first.ks)), tuple(rows), (counts, *notes))


def _rows(result: ProbeResult, seed: int) -> Iterator[tuple[str, ...]]:
    yield (
        result.features,
        *(f"{shown(result.recall(k))} {_bracketed(result.interval(k, seed=seed))}" for k in result.ks),
    )
    if result.tied_ranks is not None:
        yield f"{result.features} (any tie)", *(shown((result.tied_ranks <= k).mean()) for k in result.ks)


def _bracketed(interval: Interval) -> str:
    return f"[{shown(interval.low)}, {shown(interval.high)}]"


def _masked_grid(
    dataset: str, results: Sequence[ProbeResult], unmasked: Sequence[ProbeResult], left_out: Mapping[str, str]
) -> Grid:
    first, rows = results[0], []
    for name in dict.fromkeys(result.features for result in results):
        lines = [("nothing", result) for result in unmasked if result.features == name]
        lines += [(result.protocol.removesuffix(" masked"), result) for result in results if result.features == name]
        for number, (what, result) in enumerate(lines):
            rows.append(("" if number else name, what, *(_with_spread(result, k) for k in result.ks)))
    rows += [(name, "not run", *([_NOTHING] * len(first.ks))) for name in left_out]
    rows.append(("chance", "", *(shown(first.chance(k)) for k in first.ks)))
    draws = f"; mean ± standard deviation over {len(first.ranks)} draws" if len(first.ranks) > 1 else ""
    counts = (
        f"zero-shot over {len(first.cases)} users, {first.skipped} skipped{draws}; intervals over users: see --json"
    )
    notes = (counts, *first.notes)
    head = ("features", "masked", *(f"R@{k}" for k in first.ks))
    return Grid(f"masked on {dataset}", head, tuple(rows), (*notes, *left_out.values()), names=2)


def _with_spread(result: ProbeResult, k: int) -> str:
    spread = result.spread(k)
    return shown(result.recall(k)) + ("" if spread is None else f" ±{shown(spread)}")


def difference_grid(
    first: str, others: Sequence[tuple[ProbeResult, Mapping[int, Difference]]], *, dataset: str
) -> Grid:
    """What the table `first` is ahead of each other one, under each protocol, by list length."""
    ks = tuple(others[0][1])
    rows: list[tuple[str, ...]] = []
    for name in dict.fromkeys(result.features for result, _ in others):
        rows.append((name, *("" for _ in ks)))
        for result, differences in others:
            if result.features == name:
                cells = (f"{shown(d.value)} {_bracketed(d.interval)}" for d in differences.values())
                rows.append((f"  {result.protocol}", *cells))
    note = "in brackets the paired 95 % interval over the same cases (bootstrap)"
    title = f"{first} minus the others on {dataset}"
    return Grid(title, ("features", *(f"R@{k}" for k in ks)), tuple(rows), (note,), last_apart=False)


def wide_grid(title: str, results: Sequence[ProbeResult], names: Sequence[str]) -> WideGrid:
    """All protocols side by side, the rows in the order of `names`."""
    protocols = [name for name in _WIDE_ORDER if any(result.protocol == name for result in results)]
    found = {(result.protocol, result.features): result for result in results}
    first = {protocol: next(r for r in results if r.protocol == protocol) for protocol in protocols}
    ks = results[0].ks

    def figures(name: str) -> tuple[float | None, ...]:
        there = (found.get((protocol, name)) for protocol in protocols)
        return tuple(None if result is None else result.recall(k) for result in there for k in ks)

    chance = tuple(first[protocol].chance(k) for protocol in protocols for k in ks)
    rows = (*((name, figures(name)) for name in names), ("chance", chance))
    return WideGrid(title, tuple(protocols), ks, rows)


def escaped(text: str) -> str:
    """`text` with the signs that LaTeX reads as commands made plain."""
    return "".join(_LATEX.get(sign, sign) for sign in text)
