"""From what a source handed over to a dataset folder: cleaning, numbering, splitting, catalogue, features.

Users and items are numbered in the order of their first appearance in the cleaned interactions, as MMRec does
when it makes its files. A source that brings numbers of its own keeps them: all of them, also those without a
row (N = highest number + 1), unless a k-core or a minimum rating is asked for; then the survivors keep their order.
Items that appear in no interaction of the source are not part of the dataset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from alignrec.artifacts import staged_folder
from alignrec.data.catalogue import Catalogue
from alignrec.data.cleaning import clean
from alignrec.data.dataset import Dataset, InteractionLog, Vocabulary
from alignrec.data.item_rows import check_images, item_rows
from alignrec.data.raw import RawData, SkipLog
from alignrec.data.splitting import (
    GivenSplit,
    LeaveOneOutSplit,
    MmrecSplit,
    SplitRule,
    split_family,
    split_interactions,
)
from alignrec.errors import DataError
from alignrec.features import FeatureTable, save_features
from alignrec.runtime import numpy_rng

__all__ = ["DEFAULT_CORE", "build_dataset", "build_into", "default_core", "default_split"]

DEFAULT_CORE = 5


def default_split(raw: RawData) -> SplitRule:
    """The source's own labels where it has some, else MMRec's rule."""
    return GivenSplit() if "split" in raw.interactions.columns else MmrecSplit()


def default_core(split: SplitRule) -> int:
    """The published 5-core, but none where labels are given: who made them has chosen the rows."""
    return 0 if isinstance(split, GivenSplit) else DEFAULT_CORE


def build_dataset(
    raw: RawData,
    out: Path,
    *,
    core: int | None = None,
    split: SplitRule | None = None,
    seed: int = 0,
    min_rating: float | None = None,
) -> Dataset:
    """Write the dataset folder `out`, whole or not at all.

    Args:
        raw: what a source handed over.
        out: the folder to make; it must not exist yet.
        core: k of the k-core, 0 for none; None: `default_core`.
        split: None: `default_split`.
        seed: decides the random order within users.
        min_rating: lowest rating that counts as an interaction.

    Raises:
        DataError: nothing is left after cleaning, nothing is left to train on, or the split rule needs what the
            source does not have.
        ArtifactError: `out` exists.
    """
    with staged_folder(out) as stage:
        dataset = build_into(stage, raw, out, core=core, split=split, seed=seed, min_rating=min_rating)
    return replace(dataset, path=out)


def build_into(
    stage: Path,
    raw: RawData,
    out: Path,
    *,
    core: int | None = None,
    split: SplitRule | None = None,
    seed: int = 0,
    min_rating: float | None = None,
) -> Dataset:
    """As `build_dataset`, into the folder `stage` that will become `out` (for callers that stage pictures beside)."""
    rule = split or default_split(raw)
    core = default_core(rule) if core is None else core
    interactions = _checked(raw.interactions)
    users, items = _codes(interactions["user"], raw.user_order), _codes(interactions["item"], raw.item_order)
    ratings = _column(interactions, "rating", np.dtype(np.float64))
    rows, cleaning = clean(users.codes, items.codes, ratings, core=core, min_rating=min_rating)
    keep_all = core == 0 and min_rating is None
    users = _renumber(users, rows, ordered=raw.user_order is not None, keep_all=keep_all)
    items = _renumber(items, rows, ordered=raw.item_order is not None, keep_all=keep_all)
    log, split_about = _split(interactions[rows], users.codes, items.codes, rule, seed)
    catalogue, item_counts = item_rows(raw.items, items.ids)
    catalogue, images = check_images(catalogue, out, stage)
    dataset = Dataset(
        name=raw.name,
        users=Vocabulary(users.ids, "user"),
        items=Vocabulary(items.ids, "item"),
        log=log,
        catalogue=Catalogue(catalogue),
        about={
            "source": dict(raw.source),
            "seed": seed,
            "cleaning": asdict(cleaning),
            "split": split_about,
            "items": item_counts,
            "images": asdict(images),
            "skipped": _skipped(raw.skipped),
        },
    )
    dataset.write_into(stage)
    for table in raw.features:
        matrix = table.align(items.ids)
        save_features(stage / "features", FeatureTable(table.name, table.modality, items.ids, matrix, table.provenance))
    return dataset


@dataclass(frozen=True)
class _Numbered:
    ids: Sequence[str]  # in index order
    codes: NDArray[np.int32]  # (E,) index of each row


def _checked(interactions: pl.DataFrame) -> pl.DataFrame:
    for name in ("user", "item", "timestamp", "split"):
        if name in interactions.columns and interactions[name].null_count():
            row = int(interactions[name].is_null().arg_max() or 0)
            raise DataError(f"interaction {row + 1} has no {name}; fill it in or leave the row out")
    return interactions


def _codes(values: pl.Series, order: tuple[str, ...] | None) -> _Numbered:
    ids = values.unique(maintain_order=True) if order is None else pl.Series(order, dtype=pl.String)
    if not len(ids):
        return _Numbered((), np.zeros(0, dtype=np.int32))
    codes = values.cast(pl.Enum(ids)).to_physical().to_numpy().astype(np.int32)
    return _Numbered(ids.to_list(), codes)


def _renumber(before: _Numbered, rows: NDArray[np.intp], *, ordered: bool, keep_all: bool) -> _Numbered:
    """Number what is left in `rows`: by first appearance, or in the old order if that is the source's own."""
    codes = before.codes[rows]
    if ordered and keep_all:
        return _Numbered(before.ids, codes)
    present, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.arange(len(present)) if ordered else np.argsort(first)
    number = np.empty(len(present), dtype=np.int32)
    number[order] = np.arange(len(present), dtype=np.int32)
    return _Numbered([before.ids[code] for code in present[order]], number[inverse])


def _split(
    interactions: pl.DataFrame, users: NDArray[np.int32], items: NDArray[np.int32], rule: SplitRule, seed: int
) -> tuple[InteractionLog, dict[str, Any]]:  # Any: JSON values
    timestamps = _column(interactions, "timestamp", np.dtype(np.int64))
    given = _column(interactions, "split", np.dtype(np.int8))
    splits = split_interactions(users, rule, numpy_rng(seed, "split"), timestamps=timestamps, given=given)
    trained = np.bincount(users[splits == 0], minlength=int(users.max()) + 1) > 0
    if not trained.any():
        raise DataError(
            f"split {rule.rule!r} leaves nothing to train on; choose other shares, another rule or --core 0"
        )
    family = split_family(users, splits)
    kept = np.flatnonzero(trained[users])
    order = kept[np.argsort(users[kept], kind="stable")]
    log = InteractionLog(users[order], items[order], splits[order], None if timestamps is None else timestamps[order])
    return log, {
        **rule.model_dump(),
        **({"order": "random" if timestamps is None else "time"} if isinstance(rule, LeaveOneOutSplit) else {}),
        "family": asdict(family),
        # their valid and test rows are left out: nothing is known about them when they are ranked for
        "users_without_train": int((np.bincount(users[~trained[users]], minlength=1) > 0).sum()),
        "rows_without_train": len(users) - len(kept),
    }


def _column(frame: pl.DataFrame, name: str, dtype: np.dtype[Any]) -> NDArray[Any] | None:  # Any: the column's dtype
    return frame[name].to_numpy().astype(dtype) if name in frame.columns else None


def _skipped(skipped: SkipLog) -> Mapping[str, Any]:  # Any: JSON values
    return {"rows": skipped.total, "counts": dict(skipped.counts), "examples": dict(skipped.examples)}
