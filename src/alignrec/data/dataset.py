"""The dataset: users, items, their interactions in three splits, the catalogue, features by name. One folder on disk.

`dataset.json` describes, `interactions.parquet` holds (user, item, split[, timestamp]) as indices,
`users.parquet` and `items.parquet` the user's own ids, `features/` the feature tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from alignrec.artifacts import hash_arrays, hash_values, read_json, staged_folder, write_json
from alignrec.data.catalogue import Catalogue
from alignrec.data.fingerprint import hash_strings
from alignrec.errors import ArtifactError, DataError
from alignrec.features import FeatureTable, list_features, load_features
from alignrec.types import FloatMatrix, Interactions, TrainData

__all__ = ["SPLITS", "Dataset", "InteractionLog", "Vocabulary"]

SPLITS = ("train", "valid", "test")  # the code of a split is its position
_FORMAT = 1


class Vocabulary:
    """The user's own ids, in index order.

    Args:
        ids: in index order; a column of a table takes a fraction of the memory, until `ids` is asked for.
        kind: "user" or "item": for messages.
    """

    def __init__(self, ids: Sequence[str] | pl.Series, kind: str = "id") -> None:
        self.column = ids if isinstance(ids, pl.Series) else pl.Series("id", ids, dtype=pl.String)
        self.kind = kind

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self.column.to_list())

    @cached_property
    def _index(self) -> dict[str, int]:
        return {key: index for index, key in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.column)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.kind == other.kind and self.column.equals(other.column)

    __hash__ = None  # type: ignore[assignment]  # there is no cheap one

    def __contains__(self, key: object) -> bool:
        return key in self._index

    def index(self, key: str) -> int:
        """The index of `key`.

        Raises:
            DataError: `key` is not known.
        """
        try:
            return self._index[key]
        except KeyError:
            some = ", ".join(repr(known) for known in self.ids[:3]) or "none"
            raise DataError(f"unknown {self.kind} {key!r}; there are {len(self.ids)}, such as {some}") from None


@dataclass(frozen=True)
class InteractionLog:
    """E interactions as parallel arrays of indices, sorted by user then by the order of the source."""

    users: NDArray[np.int32]  # (E,)
    items: NDArray[np.int32]  # (E,)
    splits: NDArray[np.int8]  # (E,) position in SPLITS
    timestamps: NDArray[np.int64] | None = None  # (E,) seconds since 1970, if the source had them

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Dataset:
    """Everything about one dataset; see the module docstring for the files."""

    name: str
    users: Vocabulary
    items: Vocabulary
    log: InteractionLog
    catalogue: Catalogue  # one row per item in index order: item_id, title, brand, categories, description, image
    about: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON values: source, cleaning, split rule, seed
    path: Path | None = None

    @property
    def n_users(self) -> int:
        """U."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """I."""
        return len(self.items)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of interactions, their times, ids and catalogue: two datasets with one hash are the same."""
        stamps = () if self.log.timestamps is None else (self.log.timestamps,)
        return hash_values(
            {
                "log": hash_arrays(self.log.users, self.log.items, self.log.splits, *stamps),
                "users": hash_strings(self.users.column),
                "items": self.catalogue.content_hash,
            }
        )

    def split(self, name: str) -> Interactions:
        """The interactions (U, I) of `train`, `valid` or `test`; values are 1, indices sorted.

        Raises:
            DataError: another split.
        """
        if name not in SPLITS:
            raise DataError(f"unknown split {name!r}; allowed: {', '.join(SPLITS)}")
        return self._matrix(self.log.splits == SPLITS.index(name))

    @cached_property
    def interactions(self) -> Interactions:
        """All interactions of all splits, (U, I)."""
        return self._matrix(np.ones(len(self.log), dtype=bool))

    def _matrix(self, rows: NDArray[np.bool_]) -> Interactions:
        users, items = self.log.users[rows], self.log.items[rows]
        matrix = sparse.csr_array(
            (np.ones(len(users), dtype=np.float32), (users, items)), shape=(self.n_users, self.n_items)
        )
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        matrix.sort_indices()
        return matrix

    @property
    def feature_names(self) -> list[str]:
        """Names of the feature tables in the dataset's folder."""
        return list_features(self.path / "features") if self.path else []

    def features(self, name: str) -> FeatureTable:
        """The feature table `name` (`a+b` joins two, `raw:a+b` without scaling them), in item order.

        Raises:
            DataError: the dataset is only in memory.
            FeatureError: no such table, or one that does not fit.
        """
        if self.path is None:
            raise DataError(f"dataset {self.name!r} is only in memory and has no features on disk; save it first")
        return load_features(self.path / "features", name, self.items.ids)

    def train_view(self, features: Sequence[str] | Mapping[str, FloatMatrix] = ()) -> TrainData:
        """What a model may see: training interactions and the named features (or given matrices)."""
        tables = dict(features) if isinstance(features, Mapping) else {n: self.features(n).matrix for n in features}
        return TrainData(self.split("train"), tables)

    def image_path(self, item: int) -> Path | None:
        """Where the picture of item number `item` should be, or None if the catalogue names none."""
        value = self.catalogue.value("image", item) if "image" in self.catalogue.schema else None
        if value is None:
            return None
        image = Path(value)
        return image if image.is_absolute() or self.path is None else self.path / image

    def save(self, path: Path, *, replace_existing: bool = False) -> "Dataset":
        """Write the folder `path` whole or not at all, and return the dataset as loaded from there.

        Raises:
            ArtifactError: `path` is there and not to be replaced, or the disk is full.
        """
        with staged_folder(path, replace=replace_existing) as stage:
            self.write_into(stage)
        return replace(self, path=path)

    def write_into(self, folder: Path) -> None:
        """Write the dataset's files into an existing folder (for callers that stage more beside them)."""
        columns: dict[str, NDArray[Any]] = {
            "user": self.log.users,
            "item": self.log.items,
            "split": self.log.splits,
        }
        if self.log.timestamps is not None:
            columns["timestamp"] = self.log.timestamps
        users = self.users.column.to_frame("user_id")
        try:
            pl.DataFrame(columns).write_parquet(folder / "interactions.parquet")
            users.write_parquet(folder / "users.parquet")
            self.catalogue.write(folder / "items.parquet")
        except pl.exceptions.PolarsError as error:
            raise ArtifactError(f"the dataset cannot be written ({error}); is there room on the disk?") from None
        (folder / "features").mkdir(exist_ok=True)
        counts = {"users": self.n_users, "items": self.n_items, "interactions": len(self.log)}
        counts |= {name: int((self.log.splits == code).sum()) for code, name in enumerate(SPLITS)}
        write_json(
            folder / "dataset.json",
            {
                "format": _FORMAT,
                "name": self.name,
                "counts": counts,
                "hash": self.content_hash,
                "about": dict(self.about),
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> "Dataset":
        """Read a dataset folder.

        Raises:
            ArtifactError: a file is missing, damaged or changed, or the folder is of an unknown format.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise ArtifactError(
                f"no dataset folder at {folder}; make one with 'alignrec data import' or 'alignrec data shop'"
            )
        about = read_json(folder / "dataset.json")
        if about.get("format") != _FORMAT:
            raise ArtifactError(
                f"{folder} has dataset format {about.get('format')!r}, this version reads {_FORMAT}; import it again"
            )
        log = _read_frame(folder / "interactions.parquet", ("user", "item", "split"))
        users = _read_frame(folder / "users.parquet", ("user_id",))
        catalogue = Catalogue(folder / "items.parquet")
        timestamps = log["timestamp"].to_numpy().astype(np.int64) if "timestamp" in log.columns else None
        dataset = cls(
            name=str(about.get("name", folder.name)),
            users=Vocabulary(users["user_id"], "user"),
            items=Vocabulary(catalogue.column("item_id"), "item"),
            log=InteractionLog(
                log["user"].to_numpy().astype(np.int32),
                log["item"].to_numpy().astype(np.int32),
                log["split"].to_numpy().astype(np.int8),
                timestamps,
            ),
            catalogue=catalogue,
            about=about.get("about", {}),
            path=folder,
        )
        if dataset.content_hash != about.get("hash"):
            raise ArtifactError(f"the files in {folder} do not match its dataset.json; import the dataset again")
        return dataset


def _read_frame(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path, glob=False)  # a folder may be called data[1]
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; import the dataset again") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArtifactError(f"{path} is not readable ({error}); import the dataset again") from None
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ArtifactError(f"{path} has no column {missing[0]!r}; import the dataset again")
    return frame
