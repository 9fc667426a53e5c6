"""Several feature tables under several protocols on one dataset, beside the chance level."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alignrec.data import Dataset
from alignrec.encoders import EncoderFolder
from alignrec.errors import UsageError
from alignrec.features import FeatureTable
from alignrec.probes.absence import Encoders, refusal, rows_without
from alignrec.probes.item_cf import item_cf
from alignrec.probes.masked import MASKED, MaskSettings, masked
from alignrec.probes.report import ProbeReport
from alignrec.probes.result import CUTOFFS, ProbeResult, check_cutoffs
from alignrec.probes.zero_shot import zero_shot
from alignrec.progress import progress_bar

__all__ = ["DEFAULT_PROTOCOLS", "PROTOCOLS", "probe"]

PROTOCOLS = ("zero-shot", "item-cf", "masked")
DEFAULT_PROTOCOLS = ("zero-shot", "item-cf")


def probe(
    dataset: Dataset,
    features: Sequence[str | FeatureTable],
    *,
    protocols: Sequence[str] = DEFAULT_PROTOCOLS,
    ks: Sequence[int] = CUTOFFS,
    masking: MaskSettings | None = None,
    encoders: Sequence[EncoderFolder | str | Path] = (),
    device: str = "auto",
    seed: int = 0,
) -> ProbeReport:
    """Judge feature tables without training anything.

    Args:
        dataset: whose interactions say what belongs together; all splits are used, as the features saw none.
        features: names of tables in the dataset's folder (`a+b` joins two, `raw:a+b` without scaling
            them), or tables.
        protocols: names out of `PROTOCOLS`. `masked` brings `zero-shot` along, which it is compared with.
        ks: list lengths of the recalls.
        masking: for `masked`: how many items lose a modality, and how often they are drawn.
        encoders: for `masked`: folders of the encoders that made unified tables among `features`. A table that
            cannot be masked for want of its encoder is listed in the report as left out.
        device: where these encoders compute.
        seed: decides which items are masked, and the bootstrap.

    Raises:
        UsageError: an unknown protocol, a list length that is not positive, no features, a name given twice, an
            encoder that made none of the tables, or `masked` for tables none of which can be masked.
        FeatureError: a table that is missing or does not fit the dataset, or is not what its encoder makes of it.
        ArtifactError: an encoder folder that cannot be used.
    """
    cutoffs, protocols = check_cutoffs(ks), _checked(protocols)
    tables = [_table(dataset, entry) for entry in features]
    names = [table.name for table in tables]
    if not tables or len(set(names)) != len(names):
        raise UsageError(f"give every feature table once and at least one, not {', '.join(names) or 'none'}")
    is_masked = "masked" in protocols
    if encoders and not is_masked:
        raise UsageError("encoders are only of use to the protocol 'masked'; ask for it or leave them out")
    opened = Encoders(encoders, dataset, device=device)
    opened.require_use(tables)
    left_out = {t.name: why for t in tables if (why := refusal(t, opened))} if is_masked else {}
    if len(left_out) == len(tables):
        raise UsageError(next(iter(left_out.values())))
    bench = _Bench(dataset, cutoffs, masking or MaskSettings(), opened, seed)
    results = [
        bench.run(protocol, table)
        for protocol in _steps(protocols)
        for table in tables
        if not (protocol in MASKED.values() and table.name in left_out)
    ]
    return ProbeReport(
        dataset=dataset.name,
        dataset_hash=dataset.content_hash,
        feature_hashes={table.name: table.content_hash for table in tables},
        sizes={table.name: table.size for table in tables},
        results=tuple(results),
        left_out=left_out,
        masking=bench.masking if is_masked else None,
        seed=seed,
    )


@dataclass(frozen=True)
class _Bench:
    dataset: Dataset
    ks: tuple[int, ...]
    masking: MaskSettings
    encoders: Encoders
    seed: int

    def run(self, protocol: str, table: FeatureTable) -> ProbeResult:
        """One table under one protocol, as results name them."""
        if protocol == "zero-shot":
            with progress_bar(f"{protocol} {table.name}", self.dataset.n_users) as reporter:
                return zero_shot(table, self.dataset.log, ks=self.ks, reporter=reporter)
        if protocol == "item-cf":
            with progress_bar(f"{protocol} {table.name}", self.dataset.n_items) as reporter:
                return item_cf(table, self.dataset.interactions, ks=self.ks, reporter=reporter)
        modality = next(modality for modality, name in MASKED.items() if name == protocol)
        rows = rows_without(table, modality, self.encoders)
        with progress_bar(f"{protocol} {table.name}", self.masking.draws * self.dataset.n_users) as reporter:
            return masked(
                table,
                modality,
                rows,
                self.dataset.log,
                ks=self.ks,
                settings=self.masking,
                seed=self.seed,
                reporter=reporter,
            )


def _checked(protocols: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(protocols))
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown or not names:
        raise UsageError(f"unknown protocol {', '.join(unknown) or '(none)'!r}; allowed: {', '.join(PROTOCOLS)}")
    return names


def _steps(protocols: Sequence[str]) -> list[str]:
    """The protocols as results name them; what is masked comes with its measure, nothing masked."""
    steps: list[str] = []
    for protocol in protocols:
        steps += ["zero-shot", *MASKED.values()] if protocol == "masked" else [protocol]
    return list(dict.fromkeys(steps))


def _table(dataset: Dataset, entry: str | FeatureTable) -> FeatureTable:
    if isinstance(entry, str):
        return dataset.features(entry)
    matrix = entry.align(dataset.items.ids)
    if matrix is entry.matrix:
        return entry
    return FeatureTable(entry.name, entry.modality, dataset.items.ids, matrix, entry.provenance)
