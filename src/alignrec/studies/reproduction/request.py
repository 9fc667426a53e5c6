"""What a table is asked to be reproduced with, and the checks that come before any work."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alignrec.artifacts import read_json
from alignrec.data import Dataset
from alignrec.errors import ArtifactError, UsageError
from alignrec.studies.reproduction.recipes import Recipe, recipe_rows
from alignrec.studies.run_folder import Run

__all__ = ["ReproduceRequest", "named_datasets", "refuse_unread", "require_own"]


@dataclass(frozen=True)
class ReproduceRequest:
    """What to reproduce a table with, apart from the data."""

    models: tuple[str, ...] = ()  # rows to keep, by label or by model; none: all
    features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # see `parse_feature_sets`
    seeds: tuple[int, ...] = (0,)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # model or "" for all -> full name -> value
    runs: Path | None = None  # folder that holds runs; OUT/runs by default
    given: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)  # model or label -> runs to put in its row
    reuse: bool = False  # train nothing: take each row's best run by validation
    jobs: int = 1


def named_datasets(which: Recipe, datasets: Mapping[str, str | Path]) -> dict[str, Path]:
    """Folders by the names that the paper uses.

    Raises:
        UsageError: none, or one that the table does not have.
    """
    known = {name.lower(): name for name in which.datasets}
    unknown = [name for name in datasets if name.lower() not in known]
    if unknown or not datasets:
        there = ", ".join(known.values())
        what = f"no dataset {unknown[0]!r}" if unknown else "no dataset is given"
        raise UsageError(f"{what} for {which.address}; it has {there}: write --dataset {next(iter(known))}=FOLDER")
    return {known[name.lower()]: Path(path) for name, path in datasets.items()}


def require_own(folder: Path, which: Recipe) -> None:
    """Refuse a folder that holds something else.

    Raises:
        ArtifactError: it does.
    """
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder} is a file; choose another --out")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "reproduction.json").is_file():
        raise ArtifactError(f"{folder} exists and holds no reproduction of {which.address}; choose another --out")
    if (folder / "reproduction.json").is_file():
        stored = read_json(folder / "reproduction.json")
        if stored.get("done") and stored["table"] != which.address:
            raise ArtifactError(
                f"{folder} holds the reproduction of {stored['table']}, not {which.address}; choose another --out"
            )


def refuse_unread(which: Recipe, asked: ReproduceRequest, data: Collection[Dataset]) -> None:
    """Refuse what nothing would read.

    Raises:
        UsageError: a feature set that no row uses, runs where there are none, or a run of another dataset.
    """
    if which.kind != "runs" and (asked.settings or asked.given or asked.runs or asked.reuse):
        raise UsageError(f"{which.address} is not made of runs; leave out their settings, --runs, --run and --reuse")
    if which.kind == "statistics" and (asked.models or asked.features):
        raise UsageError(f"{which.address} counts the dataset; leave out --models and --features")
    used = _feature_sets(which)
    unread = [name for name in asked.features if name and not any(_reads(each, name) for each in used)]
    if unread:
        raise UsageError(f"no row of {which.address} uses {unread[0]} features; it uses {', '.join(sorted(used))}")
    hashes = {each.content_hash for each in data}
    for path in (path for paths in asked.given.values() for path in paths):
        if Run.open(path).plan.dataset["hash"] not in hashes:
            raise UsageError(f"{path} was trained on none of the datasets that are given; give its own with --dataset")


def _feature_sets(which: Recipe) -> set[str]:
    if which.kind == "probes":
        return {row for dataset in which.datasets for row in which.published.rows(dataset)}
    if which.kind == "cost":
        return {"Amazon", "AlignRec"}
    if which.kind == "runs":
        return {row.features for dataset in which.datasets for row in recipe_rows(which, dataset)[0] if row.features}
    return set()


def _reads(used: str, given: str) -> bool:
    """Whether the set `used` is, or may be made of, the set `given`."""
    return given in (used, used.partition("-")[0]) or (given == "Amazon" and used.startswith("AlignRec"))
