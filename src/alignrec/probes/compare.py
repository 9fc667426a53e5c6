"""Several feature tables under several protocols on one dataset, in one table with the chance level."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from alignrec.data import Dataset
from alignrec.errors import UsageError
from alignrec.features import FeatureTable
from alignrec.probes.item_cf import item_cf
from alignrec.probes.result import CUTOFFS, ProbeResult, check_cutoffs
from alignrec.probes.zero_shot import zero_shot
from alignrec.progress import Reporter, progress_bar

__all__ = ["PROTOCOLS", "ProbeReport", "probe"]

_Run = Callable[[FeatureTable, Dataset, Sequence[int], Reporter], ProbeResult]


def _run_zero_shot(table: FeatureTable, dataset: Dataset, ks: Sequence[int], reporter: Reporter) -> ProbeResult:
    return zero_shot(table, dataset.log, ks=ks, reporter=reporter)


def _run_item_cf(table: FeatureTable, dataset: Dataset, ks: Sequence[int], reporter: Reporter) -> ProbeResult:
    return item_cf(table, dataset.interactions, ks=ks, reporter=reporter)


PROTOCOLS: dict[str, _Run] = {"zero-shot": _run_zero_shot, "item-cf": _run_item_cf}


@dataclass(frozen=True)
class ProbeReport:
    """The results of `probe`, protocol by protocol, feature tables in the order they were named."""

    dataset: str
    dataset_hash: str
    feature_hashes: dict[str, str]
    results: tuple[ProbeResult, ...]

    def as_dict(self) -> dict[str, Any]:  # Any: JSON values
        """Everything as a JSON object."""
        return {
            "dataset": {"name": self.dataset, "hash": self.dataset_hash},
            "features": self.feature_hashes,
            "results": [result.as_dict() for result in self.results],
        }

    def tables(self) -> Iterator[Table]:
        """One table per protocol for a terminal."""
        for protocol, head, rows, notes in self._protocols():
            table = Table(title=f"{protocol} on {self.dataset}", title_justify="left", caption_justify="left")
            table.caption = "\n".join(notes)
            for column, name in enumerate(head):
                table.add_column(name, justify="right" if column else "left")
            for row in rows:
                table.add_row(*row, end_section=row is rows[-2])
            yield table

    def to_markdown(self) -> str:
        """One table per protocol in Markdown, notes below each."""
        blocks = []
        for protocol, head, rows, notes in self._protocols():
            lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
            table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
            blocks.append(f"**{protocol} on {self.dataset}**\n\n{table}\n\n" + "\n".join(f"- {note}" for note in notes))
        return "\n\n".join(blocks) + "\n"

    def _protocols(self) -> Iterator[tuple[str, list[str], list[list[str]], list[str]]]:
        """Protocol, head, rows (the last is the chance level) and notes."""
        for protocol in dict.fromkeys(result.protocol for result in self.results):
            results = [result for result in self.results if result.protocol == protocol]
            head = ["features", *(f"R@{k}" for k in results[0].ks)]
            rows = [row for result in results for row in _rows(result)]
            rows.append(["chance", *(f"{results[0].chance(k):.4f}" for k in results[0].ks)])
            what = "users" if protocol == "zero-shot" else "items"
            counts = f"{len(results[0].cases)} {what}, {results[0].skipped} skipped; ± is one standard error over them"
            notes = list(dict.fromkeys(note for result in results for note in result.notes))
            yield protocol, head, rows, [counts, *notes]


def _rows(result: ProbeResult) -> Iterator[list[str]]:
    yield [result.features, *(f"{result.recall(k):.4f} ±{result.standard_error(k):.4f}" for k in result.ks)]
    if result.tied_ranks is not None:
        yield [f"{result.features} (any tie)", *(f"{result.tied_recall(k):.4f}" for k in result.ks)]


def probe(
    dataset: Dataset,
    features: Sequence[str | FeatureTable],
    *,
    protocols: Sequence[str] = tuple(PROTOCOLS),
    ks: Sequence[int] = CUTOFFS,
) -> ProbeReport:
    """Judge feature tables without training anything.

    Args:
        dataset: whose interactions say what belongs together; all splits are used, as the features saw none.
        features: names of tables in the dataset's folder (`a+b` joins two), or tables.
        protocols: names out of `PROTOCOLS`.
        ks: list lengths of the recalls.

    Raises:
        UsageError: an unknown protocol, a list length that is not positive, no features, or a name given twice.
        FeatureError: a table that is missing or does not fit the dataset.
    """
    cutoffs, names = check_cutoffs(ks), list(dict.fromkeys(protocols))
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown or not names:
        raise UsageError(f"unknown protocol {', '.join(unknown) or '(none)'!r}; allowed: {', '.join(PROTOCOLS)}")
    tables = [_table(dataset, entry) for entry in features]
    labels = [table.name for table in tables]
    if not tables or len(set(labels)) != len(labels):
        raise UsageError(f"give every feature table once and at least one, not {', '.join(labels) or 'none'}")
    totals = {"zero-shot": dataset.n_users, "item-cf": dataset.n_items}
    results = []
    for name in names:
        for table in tables:
            with progress_bar(f"{name} {table.name}", totals[name]) as reporter:
                results.append(PROTOCOLS[name](table, dataset, cutoffs, reporter))
    hashes = {table.name: table.content_hash for table in tables}
    return ProbeReport(dataset.name, dataset.content_hash, hashes, tuple(results))


def _table(dataset: Dataset, entry: str | FeatureTable) -> FeatureTable:
    if isinstance(entry, str):
        return dataset.features(entry)
    matrix = entry.align(dataset.items.ids)
    if matrix is entry.matrix:
        return entry
    return FeatureTable(entry.name, entry.modality, dataset.items.ids, matrix, entry.provenance)
