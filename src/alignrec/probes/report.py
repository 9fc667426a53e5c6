"""All results of one call of `probe`: as JSON, for a terminal, in Markdown and LaTeX, and what to train on."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rich.table import Table

from alignrec.errors import UsageError
from alignrec.probes.best import Best, choose_best
from alignrec.probes.grids import Grid, WideGrid, difference_grid, protocol_grids, wide_grid
from alignrec.probes.masked import MaskSettings
from alignrec.probes.result import Difference, ProbeResult, paired_difference

__all__ = ["ProbeReport"]


@dataclass(frozen=True)
class ProbeReport:
    """The results of `probe`, protocol by protocol, feature tables in the order they were named."""

    dataset: str
    dataset_hash: str
    feature_hashes: dict[str, str]
    sizes: dict[str, int]  # table -> columns
    results: tuple[ProbeResult, ...]
    left_out: dict[str, str] = field(default_factory=dict)  # table -> why no item of it could lose a modality
    masking: MaskSettings | None = None  # None: the masked protocol was not asked for
    seed: int = 0

    def result(self, features: str, protocol: str) -> ProbeResult:
        """What `features` got under `protocol`.

        Raises:
            UsageError: there is no such result.
        """
        for result in self.results:
            if (result.features, result.protocol) == (features, protocol):
                return result
        there = ", ".join(f"{result.features} {result.protocol}" for result in self.results)
        raise UsageError(f"no result of {features!r} under {protocol!r}; there are: {there}")

    def difference(self, first: str, second: str, protocol: str, k: int) -> Difference:
        """Recall@k of `first` minus that of `second`, with the paired 95 % interval over the cases.

        Raises:
            UsageError: one of the two was not probed by `protocol`.
        """
        return paired_difference(self.result(first, protocol), self.result(second, protocol), k, seed=self.seed)

    def best(self) -> Best:
        """The feature table to train on, by the rule of `alignrec.probes.best`."""
        return self._best

    @cached_property
    def _best(self) -> Best:
        return choose_best(self.results, self.sizes, seed=self.seed)

    def as_dict(self) -> dict[str, Any]:  # Any: JSON values
        """Everything as a JSON object; differences are those of the best table to each other one."""
        best = self.best()
        return {
            "dataset": {"name": self.dataset, "hash": self.dataset_hash},
            "features": self.feature_hashes,
            "columns": self.sizes,
            "seed": self.seed,
            "masking": None if self.masking is None else self.masking.model_dump(),
            "not_masked": self.left_out,
            "results": [result.as_dict(seed=self.seed) for result in self.results],
            "differences": [
                {
                    "protocol": other.protocol,
                    "first": best.name,
                    "second": other.features,
                    "difference": {str(k): difference.value for k, difference in found.items()},
                    "interval": {str(k): list(difference.interval) for k, difference in found.items()},
                }
                for other, found in self._differences(best.name)
            ],
            "best": {
                "name": best.name,
                "reason": best.reason,
                "scores": best.scores,
                "leader_ahead": {
                    name: {"value": ahead.value, "interval": list(ahead.interval)}
                    for name, ahead in best.behind.items()
                },
            },
        }

    def _differences(self, first: str) -> Iterator[tuple[ProbeResult, dict[int, Difference]]]:
        """`first` minus each other table, by list length, wherever both were probed."""
        protocols = {result.protocol for result in self.results if result.features == first}
        for other in self.results:
            if other.features != first and other.protocol in protocols:
                yield other, {k: self.difference(first, other.features, other.protocol, k) for k in other.ks}

    def tables(self, *, best: bool = False) -> Iterator[Table]:
        """One table per protocol for a terminal; with `best`, how far the best table is ahead of the others."""
        return (grid.to_terminal() for grid in self._grids(best))

    def to_markdown(self, *, best: bool = False) -> str:
        """The same tables in Markdown, notes below each; then all protocols in one."""
        return "\n\n".join([*(grid.to_markdown() for grid in self._grids(best)), self._wide().to_markdown()]) + "\n"

    def to_latex(self) -> str:
        """All protocols in one `table` that needs the package `booktabs`."""
        return self._wide().to_latex()

    def _grids(self, best: bool) -> Iterator[Grid]:
        yield from protocol_grids(self.dataset, self.results, self.left_out, seed=self.seed)
        if best and len(self.sizes) > 1:
            first = self.best().name
            yield difference_grid(first, list(self._differences(first)), dataset=self.dataset)

    def _wide(self) -> WideGrid:
        title = f"Recall of item features on {self.dataset} before training"
        if self.masking is not None:
            title += f"; masked: {100 * self.masking.share:g} % of the items, mean of {self.masking.draws} draws"
        return wide_grid(title, self.results, list(self.sizes))
