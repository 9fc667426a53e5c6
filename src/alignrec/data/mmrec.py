"""Read the folders of MMRec (Zhou 2023) and its relatives: one `*.inter` file and `*_feat.npy` by modality.

The `.inter` file is TSV with a header: `userID` and `itemID` number users and items from 0, `rating`, `timestamp`
(seconds or milliseconds) and `x_label` (0 train, 1 valid, 2 test) may be there. There are highest number + 1 users
and items, and row i of a feature file is item i. `u_id_mapping.csv` and `i_id_mapping.csv` name them where they are
there.

A file is read by polars at once; only if something is wrong with it, `inter_rows` reads it again line by line
to say where.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from alignrec.artifacts import hash_file
from alignrec.data.inter_rows import INTER_COLUMNS, MAX_ID, read_inter_lines
from alignrec.data.raw import ITEM_COLUMNS, RawData, SkipLog
from alignrec.data.table_values import LATEST_TIME, as_seconds
from alignrec.errors import DataError, FeatureError
from alignrec.features import FeatureTable
from alignrec.types import FloatMatrix

__all__ = ["read_mmrec"]

_NAMES = {"userID": "user", "itemID": "item", "x_label": "split"}
_SUFFIX = "_feat.npy"


def read_mmrec(path: str | Path, *, on_error: str = "fail") -> RawData:
    """Read an MMRec folder, or the folder around a given `.inter` file.

    Args:
        path: the folder, or the `.inter` file in it if there are several.
        on_error: `fail` raises at the first malformed row, `skip` counts them.

    Raises:
        DataError: no or several `.inter` files, a missing column, a malformed row, an unusable id mapping.
        FeatureError: a feature file that is not one finite row of numbers per item.
    """
    file = _inter_file(Path(path))
    skipped = SkipLog(on_error)
    frame = _read_inter(file, skipped)
    if not len(frame):
        raise DataError(f"{file} has no usable row below its header; give a file with interactions")
    n_users, n_items = _count(frame, "userID", file), _count(frame, "itemID", file)
    users = _external_ids(file.parent / "u_id_mapping.csv", n_users)
    items = _external_ids(file.parent / "i_id_mapping.csv", n_items)
    feature_files = sorted(file.parent.glob(f"*{_SUFFIX}"))
    mappings = [p for p in (file.parent / "u_id_mapping.csv", file.parent / "i_id_mapping.csv") if p.is_file()]
    hashes = {p.name: hash_file(p) for p in (file, *mappings, *feature_files)}
    return RawData(
        name=file.stem,
        interactions=_interactions(frame, users, items),
        items=pl.DataFrame({"item_id": items}, schema={"item_id": pl.String}).select(
            "item_id", *(pl.lit(None, dtype).alias(c) for c, dtype in ITEM_COLUMNS.items() if c != "item_id")
        ),
        source={"kind": "mmrec", "files": hashes},
        features=tuple(_read_features(p, items, hashes[p.name]) for p in feature_files),
        skipped=skipped,
        user_order=tuple(users),
        item_order=tuple(items),
    )


def _inter_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise DataError(f"{path} does not exist; give an MMRec folder or its .inter file")
    files = sorted(path.glob("*.inter"))
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{path} must hold one .inter file, but holds: {found}; give the path of the file itself")
    return files[0]


def _read_inter(file: Path, skipped: SkipLog) -> pl.DataFrame:
    """The columns of `INTER_COLUMNS` that the file has, typed."""
    lines_needed = False
    try:
        texts = pl.read_csv(file, separator="\t", infer_schema=False, quote_char=None, glob=False)
    except (pl.exceptions.PolarsError, OSError):
        lines_needed = True
    else:
        frame = _typed(texts)
        lines_needed = frame is None
    return read_inter_lines(file, skipped) if lines_needed else frame  # type: ignore[return-value]


def _typed(texts: pl.DataFrame) -> pl.DataFrame | None:
    """The rows as numbers, or None if any is not as it should be."""
    if not {"userID", "itemID"} <= set(texts.columns):
        return None
    typed = texts.select(
        pl.col(name).cast(dtype, strict=False) for name, dtype in INTER_COLUMNS.items() if name in texts.columns
    )
    fits = [pl.all().is_not_null().all(), pl.col("userID", "itemID").is_between(0, MAX_ID).all().name.suffix("_range")]
    fits += [pl.col(c).is_finite().all().name.suffix("_finite") for c in ("rating", "timestamp") if c in typed.columns]
    if "timestamp" in typed.columns:
        fits.append((pl.col("timestamp").abs() < LATEST_TIME).all().name.suffix("_known"))
    if "x_label" in typed.columns:
        fits.append(pl.col("x_label").is_between(0, 2).all().name.suffix("_known"))
    return typed if all(typed.select(fits).row(0)) else None


def _count(frame: pl.DataFrame, column: str, file: Path) -> int:
    highest, distinct = int(frame[column].max()), frame[column].n_unique()  # type: ignore[arg-type]
    if highest >= 100 * distinct + 1000:
        raise DataError(
            f"{file.name}: {column} goes up to {highest} with {distinct} different values; MMRec numbers from 0 "
            "without gaps; for other ids use 'alignrec data import tables'"
        )
    return highest + 1


def _interactions(frame: pl.DataFrame, users: Sequence[str], items: Sequence[str]) -> pl.DataFrame:
    names = {"userID": pl.Series(users, dtype=pl.String), "itemID": pl.Series(items, dtype=pl.String)}
    columns = {_NAMES[column]: ids.gather(frame[column]) for column, ids in names.items()}
    if "rating" in frame.columns:
        columns["rating"] = frame["rating"]
    if "timestamp" in frame.columns:
        columns["timestamp"] = as_seconds(frame["timestamp"])
    if "x_label" in frame.columns:
        columns["split"] = frame["x_label"].cast(pl.Int8)
    return pl.DataFrame(columns)


def _external_ids(file: Path, count: int) -> list[str]:
    """The user's own id of each number below `count`: from the mapping file, else the number itself."""
    if not file.is_file():
        return [str(number) for number in range(count)]
    try:
        header = file.read_text(encoding="utf-8").partition("\n")[0]
        table = pl.read_csv(file, separator="\t" if "\t" in header else ",", infer_schema=False, glob=False)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is not a readable table ({error}); mend it or take it away") from None
    if table.width != 2:
        raise DataError(f"{file} must have two columns, id and number, not {table.width}; mend it or take it away")
    numbers = table.to_series(1).cast(pl.Int64, strict=False)
    own: Mapping[int | None, str] = dict(zip(numbers, table.to_series(0), strict=True))
    missing = [number for number in range(count) if own.get(number) is None]
    ids = [own[number] for number in range(count) if number in own]
    if missing or len(set(ids)) != count or len(own) != len(table):
        twice = "the same id for two numbers" if len(own) == len(table) else "two ids for the same number"
        what = f"no id for number {missing[0]}" if missing else twice
        raise DataError(f"{file} has {what} (the .inter file counts {count}); mend it or take it away")
    return ids


def _read_features(file: Path, items: Sequence[str], sha256: str) -> FeatureTable:
    modality = file.name.removesuffix(_SUFFIX)
    matrix = _read_matrix(file)
    if len(matrix) != len(items):
        raise FeatureError(
            f"{file} has {len(matrix)} rows, but the .inter file counts {len(items)} items (highest itemID + 1); "
            "give the feature file that belongs to it or take it away"
        )
    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(bad):
        raise FeatureError(
            f"{file}: {len(bad)} rows hold NaN or infinity, first row {bad[0]} (item {items[bad[0]]!r}); "
            "mend them or take the file away"
        )
    return FeatureTable(modality, modality, items, matrix, {"file": file.name, "sha256": sha256})


def _read_matrix(file: Path) -> FloatMatrix:
    try:
        values = np.lib.format.open_memmap(file, mode="r")  # refuses what is pickled, and an archive of arrays
    except (ValueError, OSError, EOFError) as error:
        raise FeatureError(f"{file} is not a plain array ({error}); save it with numpy.save as numbers") from None
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise FeatureError(
            f"{file} holds {values.dtype} of shape {values.shape}; give numbers of shape (items, size) or take it away"
        )
    with np.errstate(over="ignore"):  # a float64 too large for float32 becomes infinite and is reported as such
        return np.asarray(values, dtype=np.float32)
