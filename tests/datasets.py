"""Small datasets for tests: of runs and commands (two tastes, thirty users, twenty items, one feature table), and of
pictures without interactions.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from alignrec.data import ITEM_COLUMNS, Catalogue, Dataset, InteractionLog, Vocabulary
from alignrec.features import FeatureTable, save_features

N_USERS, N_ITEMS = 30, 20


def small_dataset(path: Path) -> Dataset:
    """Users like items of their own parity; eight interactions each, one for validation and one for test."""
    rng = np.random.default_rng(0)
    users, items, splits = [], [], []
    for user in range(N_USERS):
        liked = rng.permutation(np.arange(user % 2, N_ITEMS, 2))[:8]
        users += [user] * 8
        items += liked.tolist()
        splits += [0] * 6 + [1, 2]
    item_ids = tuple(f"item-{i}" for i in range(N_ITEMS))
    catalogue = pl.DataFrame(
        {
            "item_id": item_ids,
            "title": [f"Title of {i}" for i in item_ids],
            "brand": [None] * N_ITEMS,
            "categories": [["even"] if i % 2 == 0 else ["odd"] for i in range(N_ITEMS)],
            "description": [None] * N_ITEMS,
            "image": [None] * N_ITEMS,
        },
        schema_overrides={"brand": pl.String, "description": pl.String, "image": pl.String},
    )
    log = InteractionLog(np.array(users, np.int32), np.array(items, np.int32), np.array(splits, np.int8))
    dataset = Dataset(
        "small",
        Vocabulary(tuple(f"user-{u}" for u in range(N_USERS)), "user"),
        Vocabulary(item_ids, "item"),
        log,
        Catalogue(catalogue),
    ).save(path)
    parity = np.where(np.arange(N_ITEMS) % 2 == 0, 1.0, -1.0)
    matrix = np.column_stack([parity, rng.normal(0, 0.3, (N_ITEMS, 5))]).astype(np.float32)
    save_features(path / "features", FeatureTable("content", "text", item_ids, matrix))
    return dataset


def picture_dataset(folder: Path, images: Sequence[str | None]) -> Dataset:
    """Items with these pictures, said to lie in `folder`; nobody has taken any."""
    rows = [dict.fromkeys(ITEM_COLUMNS) | {"item_id": f"i{n}", "image": image} for n, image in enumerate(images)]
    nothing = np.zeros(0, dtype=np.int32)
    return Dataset(
        name="pictures",
        users=Vocabulary(("u",), "user"),
        items=Vocabulary(tuple(row["item_id"] for row in rows), "item"),
        log=InteractionLog(nothing, nothing, nothing.astype(np.int8)),
        catalogue=Catalogue(pl.DataFrame(rows, schema=dict(ITEM_COLUMNS))),
        path=folder,
    )
