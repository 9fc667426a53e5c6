"""Fixtures of the command-line tests: the console script called inside this process, and a tiny dataset."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from alignrec.cli import main
from alignrec.data import Catalogue, Dataset, InteractionLog, Vocabulary
from alignrec.data.raw import ITEM_COLUMNS


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def command_line(monkeypatch, capsys) -> Callable[..., Outcome]:
    """Call `alignrec` with the given words as the console script would."""

    def call(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["alignrec", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        streams = capsys.readouterr()
        return Outcome(int(stop.value.code or 0), streams.out, streams.err)

    return call


@pytest.fixture
def tiny_dataset(tmp_path) -> Dataset:
    """Nine users with four of twelve items each, in a folder."""
    rng = np.random.default_rng(0)
    items = np.concatenate([rng.choice(12, size=4, replace=False) for _ in range(9)]).astype(np.int32)
    splits = np.tile(np.array([0, 0, 1, 2], dtype=np.int8), 9)
    log = InteractionLog(np.repeat(np.arange(9, dtype=np.int32), 4), items, splits)
    names = [f"i{n}" for n in range(12)]
    users = Vocabulary(tuple(f"u{n}" for n in range(9)), "user")
    nothing = {name: [None] * 12 for name in ITEM_COLUMNS}
    catalogue = pl.DataFrame(nothing | {"item_id": names}, schema=dict(ITEM_COLUMNS))
    return Dataset("tiny", users, Vocabulary(tuple(names), "item"), log, Catalogue(catalogue)).save(tmp_path / "tiny")
