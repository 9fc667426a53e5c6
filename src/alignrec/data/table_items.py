"""The item file of a table source: titles, brands, categories, texts and pictures under the user's own column names."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import polars as pl

from alignrec.data.image_files import picture_path
from alignrec.data.raw import ITEM_COLUMNS, SkipLog
from alignrec.data.table_fields import Field, choose_column, id_field, open_table, read_fields
from alignrec.data.table_files import LINE, TableFile
from alignrec.data.table_settings import CANDIDATES, TableSettings
from alignrec.data.table_values import as_category_lists, as_texts
from alignrec.errors import DataError

__all__ = ["empty_items", "locate_pictures", "read_items", "with_existing_pictures"]

_TEXT = "text {}"  # names of the text columns before they are joined


def empty_items() -> pl.DataFrame:
    """A catalogue without items."""
    return pl.DataFrame(schema=dict(ITEM_COLUMNS))


def read_items(path: Path, settings: TableSettings, item_column: str, skipped: SkipLog) -> pl.DataFrame:
    """The rows of the item file in its order, columns `ITEM_COLUMNS`; `image` is the path as the file has it.

    Args:
        path: the item file.
        settings: names of its columns.
        item_column: what the interactions call the item's id; looked for first.
        skipped: gets malformed rows, and rows that repeat an id (the first row counts).

    Raises:
        DataError: no id column, a named column that is missing, a malformed row, a repeated id.
    """
    table = open_table(path, separator=settings.item_separator)
    fields = _fields(table, settings, item_column)
    frame = _without_repeated(table, fields, read_fields(table, fields, skipped), skipped)
    texts = [field.name for field in fields if field.name.startswith(_TEXT.format(""))]
    joined = pl.concat_str(texts or [pl.lit("")], separator="\n", ignore_nulls=True)
    columns = {name: pl.col(name) if name in frame.columns else pl.lit(None) for name in ITEM_COLUMNS}
    columns["description"] = pl.when(joined != "").then(joined)
    return frame.select(value.cast(ITEM_COLUMNS[name]).alias(name) for name, value in columns.items())


def locate_pictures(items: pl.DataFrame, bases: Sequence[Path], by_id: dict[str, str]) -> pl.DataFrame:
    """`items` with absolute paths of pictures: what a row names, else the picture with its id."""
    paths = [picture_path(item, named, bases, by_id) for item, named in items.select("item_id", "image").iter_rows()]
    return items.with_columns(pl.Series("image", paths, dtype=pl.String))


def with_existing_pictures(items: pl.DataFrame) -> pl.DataFrame:
    """The items whose picture is a file that exists."""
    there = [path is not None and os.path.isfile(path) for path in items["image"]]  # noqa: PTH113  (strings, many)
    return items.filter(pl.Series(there, dtype=pl.Boolean))


def _fields(table: TableFile, settings: TableSettings, item_column: str) -> list[Field]:
    ids = (item_column, *CANDIDATES["item"])
    column = choose_column(table, settings.item_id, ids, "item ids", "--item-id-column")
    if column is None:
        have = ", ".join(table.columns)
        remedy = "name one with --item-id-column" + (
            ", or the separator with --item-separator" if len(table.columns) == 1 else ""
        )
        raise DataError(f"{table.path} has no column of item ids; it has: {have}; {remedy}")
    fields = [id_field("item_id", column)]
    categories = partial(as_category_lists, separator=settings.category_separator)
    for name, convert in (("title", as_texts), ("brand", as_texts), ("categories", categories), ("image", as_texts)):
        found = choose_column(table, getattr(settings, name), CANDIDATES[name], name, f"--{name}-column")
        if found is not None:
            fields.append(Field(name, found, convert, "", "", "never"))
    for number, text in enumerate(_text_columns(table, settings)):
        fields.append(Field(_TEXT.format(number), text, as_texts, "", "", "never"))
    return fields


def _text_columns(table: TableFile, settings: TableSettings) -> list[str]:
    if settings.text_columns:
        for name in settings.text_columns:
            choose_column(table, name, (), "texts", "--text-columns")
        return list(settings.text_columns)
    found = choose_column(table, None, CANDIDATES["text"], "texts", "--text-columns")
    return [] if found is None else [found]


def _without_repeated(table: TableFile, fields: list[Field], frame: pl.DataFrame, skipped: SkipLog) -> pl.DataFrame:
    if not frame["item_id"].is_duplicated().any():
        return frame
    if LINE not in frame.columns:
        frame = read_fields(table, fields, skipped, exact=True)
    repeated = frame.select(pl.col("item_id").is_first_distinct().not_())["item_id"]
    for item, line in frame.filter(repeated).select("item_id", LINE).iter_rows():
        skipped.bad_row(f"{table.where(line)} ({item!r})", "the item has a row already", "keep one row per item")
    return frame.filter(~repeated)
