"""AlignRec's Table 3 (CIKM 2024): features judged without training, by the probes."""

from collections.abc import Sequence

from alignrec.data import Dataset
from alignrec.features import RAW_JOIN
from alignrec.probes import ProbeResult, probe
from alignrec.studies.reproduction.features import FeatureSets

__all__ = ["probed_rows"]

_KS = (10, 20, 50)


def probed_rows(
    data: Dataset, sets: FeatureSets, labels: Sequence[str], seed: int
) -> tuple[dict[str, dict[str, float]], dict[str, str], list[str]]:
    """Figures by feature set and column (`zero-shot recall@10`), why sets are left out, and remarks.

    Several tables of one set are joined as they are: the paper does not say that they are scaled, and of Amazon's the
    vectors of pictures, far longer than those of texts, then decide, as its figures suggest. A table whose items cannot
    lose a modality without its encoder has no masked figures.
    """
    found: dict[str, dict[str, float]] = {}
    left_out: dict[str, str] = {}
    remarks: list[str] = []
    for label in labels:
        tables = sets.tables(label)
        if not tables:
            left_out[label] = sets.refusal(label)
            continue
        results, missing = _probed(data, tables, seed=seed)
        found[label] = {f"{each.protocol} recall@{k}": each.recall(k) for each in results for k in _KS}
        remarks += [f"{label}: {why}" for why in missing]
    return found, left_out, remarks


def _probed(data: Dataset, tables: Sequence[str], *, seed: int) -> tuple[Sequence[ProbeResult], list[str]]:
    maskable = len(tables) > 1
    table = RAW_JOIN + "+".join(tables) if maskable else tables[0]
    protocols = ["zero-shot", "masked", "item-cf"] if maskable else ["zero-shot", "item-cf"]
    report = probe(data, [table], protocols=protocols, ks=_KS, seed=seed)
    reasons = [] if maskable else ["not masked: 'alignrec probe --encoder' does it for features of an encoder"]
    return report.results, [*reasons, *report.left_out.values()]
