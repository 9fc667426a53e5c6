"""JSON Lines: one JSON object per line; scalars become their text, lists and objects their JSON text.

NaN, which Python writes where a value is missing, counts as null. Half of a surrogate pair (an emoji cut in two) is
no character and becomes the replacement character U+FFFD.
"""

import io
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from typing_extensions import override

from alignrec.data.raw import SkipLog
from alignrec.data.table_files import BLOCK_BYTES, LINE, Irregular, TableFile
from alignrec.data.text_lines import BYTE_ORDER_MARK, DAMAGE, byte_blocks, read_lines
from alignrec.errors import DataError

__all__ = ["JsonLinesTable", "json_objects"]

_BLOCK_ROWS = 1 << 16
_HEAD = 100  # objects whose keys come first, in their order


class JsonLinesTable(TableFile):
    """A JSON Lines file; `columns` are the keys of all its objects, for which it is read once more.

    Where the caller promises that objects are `alike`, those of the first hundred will do.
    """

    def __init__(self, path: Path, *, block_bytes: int = BLOCK_BYTES, alike: bool = False) -> None:
        self.path, self._block_bytes = path, block_bytes
        objects = json_objects(path, SkipLog("skip"))
        keys = dict.fromkeys(key for _, value in itertools.islice(objects, _HEAD) for key in value)
        if not (alike and keys):
            try:
                keys |= self._keys()
            except Irregular:
                keys |= dict.fromkeys(key for _, value in objects for key in value)
        if not keys:
            first = next(json_objects(path, SkipLog()), None)  # raises at the first malformed line, if there is one
            raise DataError(f"{path} holds no {'keys' if first else 'JSON objects'}; give one object per line")
        super().__init__(path, list(keys))

    def _keys(self) -> dict[str, None]:
        """Every key, in no order."""
        keys: dict[str, None] = {}
        try:
            for text in self._texts():
                keys |= dict.fromkeys(pl.read_ndjson(io.BytesIO(text), infer_schema_length=None).columns)
        except (pl.exceptions.PolarsError, ValueError, *DAMAGE) as error:
            raise Irregular(str(error)) from None
        return keys

    def _texts(self) -> Iterator[bytes]:
        for number, block in enumerate(byte_blocks(self.path, self._block_bytes)):
            yield block.removeprefix(BYTE_ORDER_MARK) if number == 0 else block

    @override
    def blocks(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        schema = dict.fromkeys(columns, pl.String)
        try:
            for text in self._texts():
                frame = pl.read_ndjson(io.BytesIO(text), schema=schema)
                # Polars writes the texts in a list without escaping backslashes, and half a surrogate pair as \0
                if any(frame[name].str.contains(r"^[\[{]|\x00").any() for name in columns):
                    raise Irregular("a value may be a list, an object or half a surrogate pair")
                yield frame
        except (pl.exceptions.PolarsError, ValueError, *DAMAGE) as error:
            raise Irregular(str(error)) from None

    @override
    def exact_blocks(self, columns: Sequence[str], skipped: SkipLog) -> Iterator[pl.DataFrame]:
        schema = {LINE: pl.Int64} | dict.fromkeys(columns, pl.String)
        objects = json_objects(self.path, skipped)
        while rows := [
            (line, *[_text(value.get(name)) for name in columns])
            for line, value in itertools.islice(objects, _BLOCK_ROWS)
        ]:
            yield pl.DataFrame(rows, schema=schema, orient="row")


def json_objects(path: Path, skipped: SkipLog) -> Iterator[tuple[int, dict[str, Any]]]:  # Any: JSON values
    """Line number and object of each line; empty lines are no rows.

    Raises:
        DataError: a line is not one JSON object, unless `skipped` lets such lines go.
    """
    for line, text in read_lines(path, skipped):
        if not text.strip():
            continue
        try:
            value = _parsed(text)
        except (ValueError, RecursionError) as error:
            reason = f"not valid JSON ({getattr(error, 'msg', type(error).__name__)})"
            skipped.bad_row(f"{path} line {line}", reason, "write one JSON object per line")
            continue
        if isinstance(value, dict):
            yield line, value
            continue
        reason = f"a JSON {type(value).__name__} where an object is expected"
        skipped.bad_row(f"{path} line {line}", reason, "write one JSON object per line")


def _parsed(text: str) -> Any:  # Any: a JSON value
    value = json.loads(text)
    if "\\ud" in text.lower():
        whole = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        value = json.loads(whole)
    return value


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | dict | bool):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
