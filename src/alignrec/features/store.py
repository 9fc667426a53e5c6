"""Feature tables on disk: `NAME.safetensors` holds the matrix, `NAME.json` the item ids' hash and provenance."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from alignrec.artifacts import hash_file, hash_values, read_arrays, read_json, write_arrays, write_json
from alignrec.errors import ArtifactError, FeatureError
from alignrec.features.table import RAW_JOIN, FeatureTable, fuse
from alignrec.types import FloatMatrix

__all__ = [
    "import_features",
    "joined_names",
    "list_features",
    "load_features",
    "read_description",
    "require_usable_name",
    "save_features",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_DESCRIPTION = {  # what `NAME.json` says at least
    "name": str,
    "modality": str,
    "items": int,
    "size": int,
    "item_ids_hash": str,
    "hash": str,
    "provenance": dict,
}
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # a column that pandas adds, with the rows' numbers or names
_ID_COLUMNS = ("id", "item", "itemid", "movieid", "productid", "asin", "parentasin")  # without case and underscores


def save_features(folder: Path, table: FeatureTable) -> None:
    """Write `table` into `folder` under its own name; the description is written last and makes it visible.

    Raises:
        FeatureError: the name is not usable as a file name.
    """
    require_usable_name(table.name)
    write_arrays(folder / f"{table.name}.safetensors", {"features": table.matrix})
    write_json(
        folder / f"{table.name}.json",
        {
            "name": table.name,
            "modality": table.modality,
            "items": len(table.item_ids),
            "size": table.size,
            "item_ids_hash": _ids_hash(table.item_ids),
            "hash": table.content_hash,
            "provenance": dict(table.provenance),
        },
    )


def require_usable_name(name: str) -> None:
    """Check that features can be saved as `name`; worth doing before a long extraction.

    Raises:
        FeatureError: the name is not usable as a file name.
    """
    if not _NAME.fullmatch(name):
        raise FeatureError(f"feature name {name!r} is not usable; use letters, digits, '_', '-' and '.'")


def list_features(folder: Path) -> list[str]:
    """Names of the tables in `folder`, sorted; stray files, and hidden ones as macOS makes them, are none."""
    descriptions = [path for path in folder.glob("*.json") if not path.name.startswith(".")]
    return sorted(path.stem for path in descriptions if path.with_suffix(".safetensors").is_file())


def read_description(folder: Path, name: str) -> dict[str, Any]:  # Any: JSON values
    """What `save_features` wrote about table `name`, without reading its values.

    Raises:
        ArtifactError: there is no description, or it lacks something.
    """
    path = folder / f"{name}.json"
    about = read_json(path)
    bad = [key for key, kind in _DESCRIPTION.items() if not isinstance(about.get(key), kind)]
    if bad:
        raise ArtifactError(f"{path} describes no features, it lacks {', '.join(bad)}; extract or import them again")
    return about


def joined_names(name: str) -> list[str]:
    """The tables that a name like `a+b` or `raw:a+b` joins; the name itself where it joins none."""
    return name.removeprefix(RAW_JOIN).split("+") if "+" in name else [name]


def load_features(folder: Path, name: str, item_ids: Sequence[str]) -> FeatureTable:
    """Read table `name` for the items `item_ids`; `a+b` joins tables a and b by `fuse`, `raw:a+b` as they are.

    Raises:
        FeatureError: no such table, or it was made for another list of items, or its values were changed.
        ArtifactError: its files are damaged.
    """
    parts = joined_names(name)
    if len(parts) > 1:
        tables = [load_features(folder, part, item_ids) for part in parts]
        return fuse(tables, raw=name.startswith(RAW_JOIN))
    if name not in list_features(folder):
        have = ", ".join(list_features(folder)) or "none"
        lone = f" ({name}.json has no {name}.safetensors beside it)" if (folder / f"{name}.json").is_file() else ""
        raise FeatureError(f"no features called {name!r} here{lone}; there are: {have}")
    about = read_description(folder, name)
    if about["item_ids_hash"] != _ids_hash(item_ids):
        raise FeatureError(
            f"features {name!r} were made for other items than this dataset's; extract or import them again"
        )
    matrix = read_arrays(folder / f"{name}.safetensors").get("features")
    if matrix is None:
        raise ArtifactError(f"{folder / name}.safetensors holds no array called 'features'; extract or import it again")
    table = FeatureTable(name, about["modality"], item_ids, matrix, about["provenance"])
    if table.content_hash != about["hash"]:
        raise FeatureError(f"features {name!r} do not match their description; extract or import them again")
    return table


def import_features(
    path: Path, item_ids: Sequence[str], *, name: str, modality: str = "content", id_column: str | None = None
) -> FeatureTable:
    """Read vectors from `.npy`, `.safetensors` or `.parquet`.

    By row order the file must have one row per item of `item_ids`. A Parquet file with an `id_column` is
    matched by id, and may hold more items than the dataset. Its other columns are the vector, or one of them is a
    list column with it, and none a number; the index that pandas stores as a column is no part of a vector.

    Raises:
        FeatureError: unknown format, wrong number of rows, an item without a row, values that are not finite, or
            no `id_column` although a column looks like item ids.
    """
    if not path.is_file():
        raise FeatureError(f"{path} does not exist; give a .npy, .safetensors or .parquet file")
    provenance = {"file": path.name, "sha256": hash_file(path)}
    if path.suffix == ".parquet":
        ids, matrix = _read_parquet(path, id_column, item_ids)
    elif path.suffix in (".npy", ".safetensors"):
        if id_column:
            raise FeatureError(
                f"{path.name} has no columns, so no {id_column!r}; rows are taken in the dataset's item order"
            )
        ids, matrix = None, _read_matrix(path)
    else:
        raise FeatureError(
            f"{path.name}: cannot read features from {path.suffix!r}; give .npy, .safetensors or .parquet"
        )
    if ids is None and len(matrix) != len(item_ids):
        raise FeatureError(
            f"{path.name} has {len(matrix)} rows, the dataset {len(item_ids)} items; rows must follow the items' order"
        )
    table = FeatureTable(name, modality, item_ids if ids is None else ids, matrix, provenance)
    return FeatureTable(name, modality, item_ids, table.align(item_ids), provenance)


def _ids_hash(item_ids: Sequence[str]) -> str:
    return hash_values({"ids": list(item_ids)})


def _read_matrix(path: Path) -> FloatMatrix:
    if path.suffix == ".npy":
        try:
            with path.open("rb") as stream:
                matrix = np.lib.format.read_array(stream, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise FeatureError(f"{path.name} is not a plain numeric array ({error}); save it with numpy.save") from None
    else:
        arrays = read_arrays(path)
        if len(arrays) != 1:
            raise FeatureError(f"{path.name} holds {len(arrays)} arrays ({', '.join(arrays)}); give a file with one")
        matrix = next(iter(arrays.values()))
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        raise FeatureError(
            f"{path.name} holds {matrix.dtype} of shape {matrix.shape}; give numbers of shape (items, size)"
        )
    with np.errstate(over="ignore"):  # what single precision cannot hold becomes inf, which the table refuses
        return np.asarray(matrix, dtype=np.float32)


def _read_parquet(path: Path, id_column: str | None, item_ids: Sequence[str]) -> tuple[list[str] | None, FloatMatrix]:
    try:
        frame = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FeatureError(f"{path.name} is not a readable Parquet file ({error}); write it again") from None
    if id_column is not None and id_column not in frame.columns:
        raise FeatureError(f"{path.name} has no column {id_column!r}; it has: {', '.join(frame.columns)}")
    if id_column is None:
        ids = None
        _require_no_ids(path, frame, item_ids)
    else:
        ids = _ids(path, frame[id_column])
    values = frame.select(c for c in frame.columns if c != id_column and not _PANDAS_INDEX.fullmatch(c))
    return ids, _vectors(path, values, id_column)


def _vectors(path: Path, values: pl.DataFrame, id_column: str | None) -> FloatMatrix:
    """One vector per row, (rows, d): the only list column without numbers beside it, or all columns as numbers."""
    numeric = [c for c in values.columns if values[c].dtype.is_numeric()]
    lists = [c for c in values.columns if _holds_vectors(values[c].dtype)]
    if len(lists) == 1 and not numeric:
        return _stacked(path, values[lists[0]])
    if len(numeric) != len(values.columns) or not numeric:
        odd = ", ".join(c for c in values.columns if c not in numeric) or "(none)"
        remedy = "keep columns of numbers, or one list column of numbers without others beside it"
        if id_column is None:
            remedy = f"name the id column with --id-column; {remedy}"
        raise FeatureError(f"{path.name}: columns {odd} are not numbers; {remedy}")
    return values.select(pl.all().cast(pl.Float32)).to_numpy()


def _stacked(path: Path, column: pl.Series) -> FloatMatrix:
    """The lists or arrays of `column` as rows, (len(column), d)."""
    if column.null_count():
        raise FeatureError(f"{path.name}: column {column.name!r} lacks vectors; fill them in or drop their rows")
    sizes = [column.dtype.size] if isinstance(column.dtype, pl.Array) else column.list.len().unique().to_list()
    if len(sizes) > 1:
        raise FeatureError(f"{path.name}: vectors in column {column.name!r} have different lengths; make them equal")
    size = sizes[0] if sizes else 0  # no rows, no size
    return column.cast(pl.Array(pl.Float32, size)).to_numpy(writable=True)


def _require_no_ids(path: Path, frame: pl.DataFrame, item_ids: Sequence[str]) -> None:
    """Without a named id column rows go by their order, which a file with ids need not follow."""
    found = next((column.name for column in frame if _looks_like_ids(column, item_ids)), None)
    if found is not None:
        raise FeatureError(
            f"{path.name}: column {found!r} looks like item ids; name it with --id-column, or leave it out of the file"
        )


def _looks_like_ids(column: pl.Series, item_ids: Sequence[str]) -> bool:
    """By its name, or by its values: whole numbers that are exactly the ids, or other values of which one is an id."""
    if column.dtype.is_nested():
        return False
    if column.name.lower().replace("_", "") in _ID_COLUMNS:
        return True
    whole = column.dtype.is_integer()
    if column.dtype.is_float() or (whole and column.n_unique() != len(item_ids)):
        return False
    texts = column.cast(pl.String, strict=False).to_list()
    if _PANDAS_INDEX.fullmatch(column.name) and texts == list(item_ids):
        return False  # the rows' order says the same
    return set(texts) == set(item_ids) if whole else not set(item_ids).isdisjoint(texts)


def _ids(path: Path, column: pl.Series) -> list[str]:
    """Ids as a dataset has them: text as it is, whole numbers in decimal, also where the file holds them as floats."""
    if column.dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        column = column.cast(pl.String) if (whole.cast(pl.Float64) != column).any() else whole
    if column.dtype.is_nested() or column.null_count():
        kind = "lists or objects" if column.dtype.is_nested() else "empty values"
        raise FeatureError(f"{path.name}: column {column.name!r} holds {kind}; give one id per row")
    return column.cast(pl.String).to_list()


def _holds_vectors(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.List | pl.Array) and kind.inner.is_numeric()
