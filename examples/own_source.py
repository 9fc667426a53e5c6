"""Baskets in JSON Lines become a dataset folder: python examples/own_source.py ORDERS.jsonl DATASET."""

import json
import sys
from datetime import datetime
from pathlib import Path

import polars as pl

from alignrec.artifacts import hash_file
from alignrec.data import ITEM_COLUMNS, LeaveOneOutSplit, RawData, SkipLog, build_dataset

INTERACTIONS = {"user": pl.String, "item": pl.String, "timestamp": pl.Int64}


def read_baskets(path: Path, on_error: str = "fail") -> RawData:
    """Read lines such as {"customer": "ada", "day": "2026-03-01", "basket": {"t1": "green tea"}}."""
    rows, titles, skipped = [], {}, SkipLog(on_error)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            order = json.loads(line)
            seconds = int(datetime.fromisoformat(order["day"] + "T00:00+00:00").timestamp())
            rows += [(order["customer"], sku, seconds) for sku in order["basket"]]
            titles |= order["basket"]
        except (ValueError, KeyError) as error:
            skipped.bad_row(f"{path} line {number}", f"not an order ({error!r})", "mend the line")
    items = [{"item_id": sku, "title": title} for sku, title in titles.items()]  # other columns stay empty
    return RawData(
        name=path.stem,
        interactions=pl.DataFrame(rows, schema=INTERACTIONS, orient="row"),
        items=pl.DataFrame(items, schema=dict(ITEM_COLUMNS)),
        source={"kind": "baskets", "files": {path.name: hash_file(path)}},
        skipped=skipped,
    )


dataset = build_dataset(read_baskets(Path(sys.argv[1])), Path(sys.argv[2]), core=2, split=LeaveOneOutSplit())
print(f"{dataset.n_users} users and {dataset.n_items} items in {sys.argv[2]}")
