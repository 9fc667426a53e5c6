"""Is this dataset the one a paper reports on? By its counts, the sizes of its splits, and the rule of the split."""

from alignrec.data import SPLITS, Dataset, split_family
from alignrec.studies.reproduction.published import PublishedTable, published_table

__all__ = ["counts_of", "data_differences", "describe_data"]

_STATISTICS = (("cikm24", "table1"), ("dream", "table1"))


def counts_of(data: Dataset) -> dict[str, int]:
    """Users, items, interactions, and interactions by split and the items in them, as published tables call them."""
    counts = {"users": data.n_users, "items": data.n_items, "interactions": len(data.log)}
    for code, name in enumerate(SPLITS):
        rows = data.log.splits == code
        counts |= {name: int(rows.sum()), f"items in {name}": len(set(data.log.items[rows].tolist()))}
    return counts


def data_differences(data: Dataset, dataset: str) -> list[str]:
    """What sets `data` apart from the published `dataset`, as the papers call it; empty if nothing that is known."""
    published = _published_counts(dataset)
    found = [
        f"{name} {mine:,} (published {int(published[name]):,})"
        for name, mine in counts_of(data).items()
        if name in published and mine != published[name]
    ]
    family = split_family(data.log.users, data.log.splits).name
    if "mmrec" not in family:
        found.append(f"the split is of the family {family!r} and the papers' of 'mmrec'")
    elif _is_drawn_here(data):
        found.append("the split was drawn here, so that other interactions are in test than in the papers")
    return found


def describe_data(data: Dataset) -> str:
    """One line: counts, sizes of the splits, and the rule that made them."""
    split = data.about.get("split", {})
    counts, family = counts_of(data), split_family(data.log.users, data.log.splits).name
    sizes = "/".join(f"{counts[name]:,}" for name in SPLITS)
    rule = str(split.get("rule", "unknown"))
    if _is_drawn_here(data):
        rule += f" with seed {data.about.get('seed')}, so another draw than the published one"
    about = f"{data.n_users:,} users, {data.n_items:,} items, {len(data.log):,} interactions"
    return f"{data.name}: {about}; split {sizes}, rule {rule}, sizes of family {family}"


def _is_drawn_here(data: Dataset) -> bool:
    """Whether the split is known to have been made by this library, and so not to be the papers'."""
    return str(data.about.get("split", {}).get("rule", "unknown")) not in ("given", "unknown")


def _published_counts(dataset: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for table in (*(published_table(*address) for address in _STATISTICS), published_table("mmrec", "splits")):
        found |= _row(table, dataset, "5-core") | _row(table, dataset, "split")
    return found


def _row(table: PublishedTable, dataset: str, row: str) -> dict[str, float]:
    cells = table.figures.get(dataset, {}).get(row, {})
    return {column: figure.value for column, figure in cells.items()}
