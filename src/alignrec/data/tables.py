"""Read interactions and items from CSV, TSV, JSON Lines or Parquet, plain or gzipped; settings name the columns.

A folder holds `interactions.*` and, if there are any, `items.*` and `images/ITEM_ID.jpg`; otherwise the
interactions file is given, and the others by settings. Ids stay the user's own strings: "007" stays "007", the
whole number 7 of a typed file becomes "7".
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from alignrec.artifacts import hash_file
from alignrec.data.image_files import index_images
from alignrec.data.raw import ITEM_COLUMNS, RawData, SkipLog
from alignrec.data.table_fields import FORMATS, Field, choose_column, id_field, open_table, read_fields, standard_fields
from alignrec.data.table_files import LINE, TableFile
from alignrec.data.table_items import empty_items, locate_pictures, read_items, with_existing_pictures
from alignrec.data.table_settings import CANDIDATES, TableSettings
from alignrec.errors import DataError

__all__ = ["read_tables"]

Counts = dict[str, Any]  # Any: JSON values


def read_tables(path: str | Path, settings: TableSettings | None = None, *, on_error: str = "fail") -> RawData:
    """Read a folder of tables, or an interactions file.

    Args:
        path: the folder or the interactions file.
        settings: names of columns, other files, what to do with items that lack something.
        on_error: `fail` raises at the first malformed row, `skip` counts them.

    Returns:
        Interactions in the order of the file. `source` says which columns were read, and counts unknown items and
        items without a picture.

    Raises:
        DataError: a file or column is missing, or a row is malformed: the message names file, line and remedy.
    """
    home, settings = Path(path), settings or TableSettings()
    if home.is_dir():
        settings = _complete(home, settings)
    file = _only_table(home, "interactions") if home.is_dir() else home
    if file is None:
        raise DataError(f"{home} holds no interactions.csv (or {', '.join(FORMATS[1:])}); give the path of the file")
    skipped = SkipLog(on_error)
    table = open_table(file, separator=settings.separator, header=settings.header)
    fields = _fields(table, settings)
    interactions = read_fields(table, fields, skipped)
    columns = {field.name: field.column for field in fields if field.name in interactions.columns}
    items = read_items(settings.items, settings, columns["item"], skipped) if settings.items else empty_items()
    about: Counts = {}
    if settings.items:
        interactions, about["unknown_items"] = _unknown_items(table, fields, interactions, items, settings)
    items = _pictures(items, interactions, settings)
    if settings.require_image:
        items, interactions, about["without_image"] = _with_pictures(items, interactions)
    if interactions.is_empty():
        _refuse_emptied(file, skipped, about)
    files = [file] if settings.items is None else [file, settings.items]
    return RawData(
        name=_name(home),
        interactions=interactions.drop(LINE, strict=False),
        items=items,
        source={"kind": "tables", "files": {f.name: hash_file(f) for f in files}, "columns": columns, **about},
        skipped=skipped,
    )


def _complete(folder: Path, settings: TableSettings) -> TableSettings:
    """`settings` with the files that a folder has beside its interactions."""
    images = _called(folder, "images")
    found = {
        "items": settings.items or _only_table(folder, "items"),
        "images": settings.images or next(filter(Path.is_dir, images), None),
    }
    return settings.model_copy(update=found)


def _only_table(folder: Path, name: str) -> Path | None:
    endings = [f"{suffix}{packed}" for suffix in FORMATS for packed in ("", ".gz")]
    files = [p for p in _called(folder, *(f"{name}{ending}" for ending in endings)) if p.is_file()]
    if len(files) > 1:
        raise DataError(
            f"{folder} holds {', '.join(p.name for p in files)}; keep one of them or give the path of a file"
        )
    return files[0] if files else None


def _called(folder: Path, *names: str) -> list[Path]:
    """What is in `folder` under one of `names`, in capitals or not; those without come first."""
    found = [path for path in folder.iterdir() if path.name.lower() in names]
    return sorted(found, key=lambda path: (path.name not in names, path.name))


def _fields(table: TableFile, settings: TableSettings) -> list[Field]:
    chosen = {}
    for name in ("user", "item", "rating", "timestamp", "split"):
        column = choose_column(table, getattr(settings, name), CANDIDATES[name], name, f"--{name}-column")
        if column is None and name in ("user", "item"):
            have = ", ".join(table.columns)
            remedy = f"name one with --{name}-column" + (
                ", or the separator with --separator" if len(table.columns) == 1 else ""
            )
            raise DataError(f"{table.path} has no column of {name} ids; it has: {have}; {remedy}")
        chosen[name] = column
    user, item = str(chosen.pop("user")), str(chosen.pop("item"))
    return [id_field("user", user), id_field("item", item), *standard_fields(**chosen)]


def _unknown_items(
    table: TableFile, fields: Sequence[Field], interactions: pl.DataFrame, items: pl.DataFrame, settings: TableSettings
) -> tuple[pl.DataFrame, Counts]:
    known = interactions["item"].is_in(items["item_id"].implode())
    unknown = interactions.filter(~known)
    if settings.unknown_items == "fail" and len(unknown):
        frame = interactions
        if LINE not in frame.columns:
            frame = read_fields(table, fields, SkipLog(), exact=True)
        item, line = frame.filter(~known).select("item", LINE).row(0)
        name = settings.items.name if settings.items else "the item file"
        raise DataError(
            f"{table.where(line)}: item {item!r} is not in {name} (as in {len(unknown)} rows); add it, or choose "
            "--unknown-items keep or drop"
        )
    counts = {"rule": settings.unknown_items, "items": unknown["item"].n_unique(), "interactions": len(unknown)}
    return (interactions.filter(known) if settings.unknown_items == "drop" else interactions), counts


def _pictures(items: pl.DataFrame, interactions: pl.DataFrame, settings: TableSettings) -> pl.DataFrame:
    by_id = index_images(settings.images) if settings.images else {}
    beside = settings.items.parent if settings.items else Path()
    if by_id:  # an item without a row may have a picture all the same
        absent = interactions["item"].unique(maintain_order=True)
        absent = absent.filter(~absent.is_in(items["item_id"].implode()) & absent.is_in(list(by_id)))
        blank = (pl.lit(None, dtype).alias(name) for name, dtype in ITEM_COLUMNS.items() if name != "item_id")
        items = pl.concat([items, absent.alias("item_id").to_frame().with_columns(blank)])
    return locate_pictures(items, [settings.images, beside] if settings.images else [beside], by_id)


def _with_pictures(items: pl.DataFrame, interactions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, Counts]:
    kept = with_existing_pictures(items)
    inside = interactions["item"].is_in(kept["item_id"].implode())
    dropped = interactions.filter(~inside)
    return kept, interactions.filter(inside), {"items": dropped["item"].n_unique(), "interactions": len(dropped)}


def _refuse_emptied(file: Path, skipped: SkipLog, about: Counts) -> None:
    """Say what took all interactions, if there were any."""
    unknown, unseen = (about.get(name, {}).get("interactions", 0) for name in ("unknown_items", "without_image"))
    if unseen:
        raise DataError(f"{file}: none of the last {unseen:,} interactions has a picture; leave out --require-image")
    if unknown:
        raise DataError(
            f"{file}: all items, in {unknown:,} interactions, lack a row in the item file; mend the ids, or choose "
            "--unknown-items keep"
        )
    if skipped.total:
        reasons = "; ".join(f"{rows:,} {why} (first {skipped.examples[why]})" for why, rows in skipped.counts.items())
        raise DataError(f"{file}: no row is left, all were skipped: {reasons}; mend them or name other columns")


def _name(path: Path) -> str:
    name = os.path.basename(os.path.abspath(path))  # noqa: PTH100, PTH119  (also for "." and "..")
    return name if path.is_dir() else name.partition(".")[0]
