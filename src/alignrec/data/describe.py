"""What is in a dataset: sizes, sparsity, degrees, splits, cold items, gaps in the catalogue, features, hashes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from alignrec.data.dataset import SPLITS, Dataset
from alignrec.data.splitting import SplitFamily, split_family
from alignrec.features import read_description

__all__ = ["DatasetDescription", "DegreeBin", "FeatureSummary", "describe", "render"]

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


@dataclass(frozen=True)
class DegreeBin:
    """How many users or items have between `low` and `high` interactions, both included."""

    low: int
    high: int
    count: int


@dataclass(frozen=True)
class FeatureSummary:
    """A feature table's name, what it describes, its shape and the hash of its values."""

    name: str
    modality: str
    items: int
    size: int
    hash: str
    items_without_vector: int = 0  # got the mean of the others on import


@dataclass(frozen=True)
class DatasetDescription:
    """Figures of one dataset. A degree is a number of interactions over all splits."""

    name: str
    users: int
    items: int
    interactions: int
    density: float  # share of the user-item matrix that is filled, 0..1
    splits: Mapping[str, int]  # split -> interactions
    family: SplitFamily
    user_degrees: Mapping[str, float]  # "min", "25%", ... "max"
    item_degrees: Mapping[str, float]
    user_histogram: tuple[DegreeBin, ...]
    item_histogram: tuple[DegreeBin, ...]
    users_without_train: int
    cold_items: int  # items without a train interaction
    items_without_image: int
    items_without_text: int  # no title, brand, categories or description
    features: tuple[FeatureSummary, ...]
    hash: str
    about: Mapping[str, Any]  # Any: JSON values: source, seed, cleaning, split, images, skipped rows

    def as_dict(self) -> dict[str, Any]:  # Any: JSON values
        """The description as a JSON object."""
        return asdict(self)


def describe(dataset: Dataset) -> DatasetDescription:
    """Count what is in `dataset`; feature tables are described from their files, not loaded.

    Raises:
        ArtifactError: the description of a feature table is damaged.
    """
    log = dataset.log
    train = log.splits == 0
    user_degrees = np.bincount(log.users, minlength=dataset.n_users)  # (U,)
    item_degrees = np.bincount(log.items, minlength=dataset.n_items)  # (I,)
    cells = dataset.n_users * dataset.n_items
    catalogue = dataset.catalogue.frame
    return DatasetDescription(
        name=dataset.name,
        users=dataset.n_users,
        items=dataset.n_items,
        interactions=len(log),
        density=len(log) / cells if cells else 0.0,
        splits={name: int((log.splits == code).sum()) for code, name in enumerate(SPLITS)},
        family=split_family(log.users, log.splits),
        user_degrees=_quantiles(user_degrees),
        item_degrees=_quantiles(item_degrees),
        user_histogram=_histogram(user_degrees),
        item_histogram=_histogram(item_degrees),
        users_without_train=_without(log.users[train], dataset.n_users),
        cold_items=_without(log.items[train], dataset.n_items),
        items_without_image=int(catalogue["image"].null_count()),
        items_without_text=_without_text(catalogue),
        features=_features(dataset),
        hash=dataset.content_hash,
        about=dict(dataset.about),
    )


def _quantiles(degrees: NDArray[np.int64]) -> dict[str, float]:
    names = ["min", *(f"{quantile:.0%}" for quantile in _QUANTILES[1:-1]), "max"]
    values = np.quantile(degrees, _QUANTILES) if len(degrees) else np.zeros(len(_QUANTILES))
    return dict(zip(names, map(float, values), strict=True))


def _histogram(degrees: NDArray[np.int64]) -> tuple[DegreeBin, ...]:
    """Bins 0, 1, 2-3, 4-7, ...: each twice as wide as the one before; empty ones at the ends are left out."""
    if not len(degrees):
        return ()
    exponents = np.frexp(degrees)[1]  # 0 for 0, 1 for 1, 2 for 2-3, 3 for 4-7, ...
    counts = np.bincount(exponents)
    return tuple(
        DegreeBin(low=2 ** (exponent - 1) if exponent else 0, high=2**exponent - 1, count=int(counts[exponent]))
        for exponent in range(int(exponents.min()), len(counts))
    )


def _without(present: NDArray[np.int32], size: int) -> int:
    return int((np.bincount(present, minlength=size) == 0).sum())


def _without_text(catalogue: pl.DataFrame) -> int:
    empty = pl.all_horizontal(pl.col("title", "brand", "description").is_null())
    return int(catalogue.select((empty & (pl.col("categories").list.len().fill_null(0) == 0)).sum()).item())


def _features(dataset: Dataset) -> tuple[FeatureSummary, ...]:
    if dataset.path is None:
        return ()
    tables = [read_description(dataset.path / "features", name) for name in dataset.feature_names]
    return tuple(
        FeatureSummary(
            t["name"], t["modality"], t["items"], t["size"], t["hash"], t["provenance"].get("items_without_vector", 0)
        )
        for t in tables
    )


def render(description: DatasetDescription) -> RenderableType:
    """The description for a terminal."""
    parts: list[RenderableType] = [_overview(description), _degrees(description)]
    if description.features:
        parts.append(_feature_table(description))
    return Group(*parts)


def _overview(d: DatasetDescription) -> Table:
    sizes = " / ".join(f"{d.splits[name]:,} {name}" for name in SPLITS)
    table = Table(title=Text(d.name), show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in (
        ("users, items", f"{d.users:,} users, {d.items:,} items"),
        ("interactions", f"{d.interactions:,} (density {d.density:.4%})"),
        ("split", f"{sizes}; rule {_rule(d)}; sizes of family {d.family.name}"),
        ("cold items", f"{d.cold_items:,} without a train interaction"),
        ("catalogue", f"{d.items_without_image:,} items without image, {d.items_without_text:,} without text"),
        ("source", _source(d.about)),
        *_losses(d),
        ("hash", d.hash),
    ):
        table.add_row(name, Text(value))  # not markup: ids and file names may hold brackets
    return table


def _rule(d: DatasetDescription) -> str:
    split = d.about.get("split", {})
    rule = split.get("rule", "unknown")
    drawn = " at random, as there are no timestamps" if split.get("order") == "random" else ""
    return str(rule) if rule in ("given", "unknown") else f"{rule}{drawn}, seed {d.about.get('seed')}"


def _source(about: Mapping[str, Any]) -> str:
    source = about.get("source", {})
    files = ", ".join(f"{name} {sha[:12]}" for name, sha in source.get("files", {}).items())
    return " ".join(part for part in (str(source.get("kind", "unknown")), files) if part)


def _losses(d: DatasetDescription) -> list[tuple[str, str]]:
    """Rows about what cleaning, splitting and reading left out, where there is anything to say."""
    cleaning, split = d.about.get("cleaning", {}), d.about.get("split", {})
    images, skipped = d.about.get("images", {}), d.about.get("skipped", {})
    dropped = {
        "below the minimum rating": cleaning.get("below_rating", 0),
        "repeated": cleaning.get("repeated", 0),
        f"below the {cleaning.get('core', 0)}-core": cleaning.get("below_core", 0),
        "of users without train": split.get("rows_without_train", 0),
    }
    broken = {"missing": images.get("missing", 0), "that do not open": images.get("broken", 0)}
    groups = {
        "rows dropped": _counts(dropped),
        "rows skipped": _reasons(skipped),
        "images dropped": _counts(broken) + _examples(images),
        "users without train": f"{d.users_without_train:,}" if d.users_without_train else "",
    }
    return [(name, text) for name, text in groups.items() if text]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def _reasons(skipped: Mapping[str, Any]) -> str:
    examples = skipped.get("examples", {})
    counts = skipped.get("counts", {}).items()
    return "; ".join(f"{count:,}: {reason} (first {examples.get(reason, 'unknown')})" for reason, count in counts)


def _examples(group: Mapping[str, Any]) -> str:
    examples = [f"{name}: {text}" for name, text in group.get("examples", {}).items()]
    return f" (such as {examples[0]})" if examples else ""


def _degrees(d: DatasetDescription) -> Table:
    table = Table(title="interactions per user and per item", title_justify="left")
    for name in ("interactions", "users", "", "items", ""):
        table.add_column(name, justify="left" if name == "" else "right")
    users, items = ({(b.low, b.high): b.count for b in bins} for bins in (d.user_histogram, d.item_histogram))
    for low, high in sorted(users | items):
        cells = (cell for counts in (users, items) for cell in _bar(counts, (low, high)))
        table.add_row(f"{low:,}" if low == high else f"{low:,}-{high:,}", *cells)
    table.add_section()
    for name in d.user_degrees:
        table.add_row(name, _figure(d.user_degrees[name]), "", _figure(d.item_degrees[name]), "")
    return table


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def _bar(counts: Mapping[tuple[int, int], int], key: tuple[int, int], width: int = 20) -> tuple[str, str]:
    count = counts.get(key, 0)
    eighths = round(8 * width * count / max(1, *counts.values()))
    eighths = max(eighths, 1) if count else 0  # whatever is there is seen
    return f"{count:,}", "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _feature_table(d: DatasetDescription) -> Table:
    table = Table(title="features", title_justify="left")
    for name in ("name", "modality", "items x size", "hash"):
        table.add_column(name)
    for f in d.features:
        filled = f", {f.items_without_vector:,} items without a vector got the mean" if f.items_without_vector else ""
        table.add_row(f.name, Text(f.modality), f"{f.items:,} x {f.size:,}{filled}", f.hash[:16])
    return table
