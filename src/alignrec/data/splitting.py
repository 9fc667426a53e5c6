"""How each user's interactions become train, valid and test.

`mmrec` is the rule behind the field's published numbers (Zhou 2023, MMRec, `1splitting`): for a user with n rows
in random order, n < 10 gives n-2 / 1 / 1, otherwise h = floor(0.2 n) rows are held out, floor(h/2) of them for
validation; the odd one goes to test. LATTICE's lineage (Zhang et al. 2021; MMSSL, DiffMM, MMHCL) has the same
rule with the odd one in validation, so the two families are told apart by their sizes alone.

Every rule fills train first: a user with one row has it in train, with two rows the second is in test.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator

from alignrec.errors import DataError, UsageError
from alignrec.settings import Settings

__all__ = [
    "SPLIT_RULES",
    "GivenSplit",
    "LeaveOneOutSplit",
    "MmrecSplit",
    "RatioSplit",
    "SplitFamily",
    "SplitRule",
    "TemporalSplit",
    "mmrec_sizes",
    "split_family",
    "split_interactions",
    "split_rule",
]

Counts = NDArray[np.int64]  # (U,) one number per user
TRAIN, VALID, TEST = 0, 1, 2  # positions in `alignrec.data.SPLITS`


class MmrecSplit(Settings):
    """Per user at random in MMRec's sizes (about 74 : 13 : 13 on the Amazon sets)."""

    rule: Literal["mmrec"] = "mmrec"
    """The name of the rule."""


class _Shares(Settings):
    valid: float = Field(default=0.1, ge=0, lt=1)
    """Share of a user's interactions for validation, rounded to the nearest whole number (half up)."""
    test: float = Field(default=0.1, ge=0, lt=1)
    """Share for test, rounded likewise; train gets the rest, and at least one."""

    @field_validator("test")
    @classmethod
    def _leaves_train(cls, test: float, info: ValidationInfo) -> float:
        if test + info.data.get("valid", 0.0) >= 1:
            raise ValueError("valid and test together must leave something for train (their sum below 1)")
        return test


class RatioSplit(_Shares):
    """Per user at random in given shares."""

    rule: Literal["ratio"] = "ratio"
    """The name of the rule."""


class TemporalSplit(_Shares):
    """By time; interactions of the same second keep the order of the source."""

    rule: Literal["temporal"] = "temporal"
    """The name of the rule."""
    scope: Literal["user", "global"] = "user"
    """`user` orders each user's own interactions, so everybody has train rows. `global` cuts all interactions at
    two points in time, as a deployed system would see them; rows of the very second of a cut go to the later side."""


class LeaveOneOutSplit(Settings):
    """The last interaction of a user is test, the one before it valid; at random where there are no timestamps."""

    rule: Literal["leave-one-out"] = "leave-one-out"
    """The name of the rule."""


class GivenSplit(Settings):
    """The source's own labels."""

    rule: Literal["given"] = "given"
    """The name of the rule."""


SplitRule = MmrecSplit | RatioSplit | TemporalSplit | LeaveOneOutSplit | GivenSplit

SPLIT_RULES: Mapping[str, type[SplitRule]] = {
    "mmrec": MmrecSplit,
    "ratio": RatioSplit,
    "temporal": TemporalSplit,
    "leave-one-out": LeaveOneOutSplit,
    "given": GivenSplit,
}


def split_rule(name: str, values: Mapping[str, Any] | None = None) -> SplitRule:  # Any: user input
    """The rule called `name` with its settings, such as `split_rule("ratio", {"valid": 0.1, "test": 0.2})`.

    Raises:
        UsageError: no such rule, or a setting that it does not have.
    """
    if name not in SPLIT_RULES:
        raise UsageError(f"unknown split rule {name!r}; allowed: {', '.join(SPLIT_RULES)}")
    return SPLIT_RULES[name].create(values, section=f"split {name}")


def split_interactions(
    users: NDArray[np.int32],
    rule: SplitRule,
    rng: np.random.Generator,
    *,
    timestamps: NDArray[np.int64] | None = None,
    given: NDArray[np.int8] | None = None,
) -> NDArray[np.int8]:
    """The split (position in `SPLITS`) of each of E interactions, (E,).

    Args:
        users: (E,) user indices, in any order.
        rule: sizes and order.
        rng: draws the order where it is random.
        timestamps: (E,) seconds; needed by `temporal`, used by `leave-one-out`.
        given: (E,) the source's own labels; needed by `given`.

    Raises:
        DataError: the rule needs timestamps or labels that the source does not have.
    """
    if isinstance(rule, GivenSplit):
        if given is None:
            raise DataError(
                "the source has no split of its own; choose --split mmrec, ratio, temporal or leave-one-out"
            )
        if len(given) and not (given.min() >= TRAIN and given.max() <= TEST):
            raise DataError("the source's split column holds other codes than 0, 1, 2 (train, valid, test); correct it")
        return given.astype(np.int8)
    if isinstance(rule, TemporalSplit) and timestamps is None:
        raise DataError(
            "split 'temporal' needs timestamps and the source has none that is known; name their column "
            "(--timestamp-column of a table), or choose mmrec or ratio"
        )
    if isinstance(rule, TemporalSplit) and rule.scope == "global" and timestamps is not None:
        return _cut_time(timestamps, rule)
    counts = np.bincount(users, minlength=1)  # (U,)
    by_time = isinstance(rule, TemporalSplit | LeaveOneOutSplit) and timestamps is not None
    keys = timestamps if by_time and timestamps is not None else rng.random(len(users))
    valid, test = _sizes(counts, rule)
    place = _place_within_user(users, counts, keys)  # (E,)
    train = (counts - valid - test)[users]
    splits = np.full(len(users), TEST, dtype=np.int8)
    splits[place < train + valid[users]] = VALID
    splits[place < train] = TRAIN
    return splits


def mmrec_sizes(counts: Counts) -> tuple[Counts, Counts]:
    """MMRec's numbers of valid and test rows for users with `counts` rows, (U,) each; train is the rest."""
    held_out = counts // 5
    few = counts < 10
    valid = np.where(few, counts >= 3, held_out // 2)
    test = np.where(few, counts >= 2, held_out - held_out // 2)
    return valid.astype(np.int64), test.astype(np.int64)


def _sizes(counts: Counts, rule: SplitRule) -> tuple[Counts, Counts]:
    if isinstance(rule, MmrecSplit):
        return mmrec_sizes(counts)
    if isinstance(rule, RatioSplit | TemporalSplit):
        test = np.minimum(_nearest(rule.test * counts), np.maximum(counts - 1, 0))
        return np.minimum(_nearest(rule.valid * counts), np.maximum(counts - 1 - test, 0)), test
    return (counts >= 3).astype(np.int64), (counts >= 2).astype(np.int64)  # leave one out


def _nearest(values: NDArray[np.floating[Any]]) -> Counts:  # Any: the precision
    # the tiny term makes 0.15 * 10 count as the 1.5 it stands for
    whole: Counts = np.floor(values + 0.5 + 1e-9).astype(np.int64)
    return whole


def _place_within_user(
    users: NDArray[np.int32], counts: Counts, keys: NDArray[np.float64] | NDArray[np.int64]
) -> NDArray[np.int64]:
    """The position of each row among its user's rows when these are ordered by `keys` (stable), (E,)."""
    order = np.lexsort((keys, users))
    starts = np.cumsum(counts) - counts
    place = np.empty(len(users), dtype=np.int64)
    place[order] = np.arange(len(users)) - starts[users[order]]
    return place


def _cut_time(timestamps: NDArray[np.int64], rule: TemporalSplit) -> NDArray[np.int8]:
    ordered = np.sort(timestamps)
    total = len(ordered)
    n_valid, n_test = _nearest(np.array([rule.valid, rule.test]) * total)
    splits = np.full(total, TRAIN, dtype=np.int8)
    if n_valid + n_test:
        splits[timestamps >= ordered[total - n_test - n_valid]] = VALID
    if n_test:
        splits[timestamps >= ordered[total - n_test]] = TEST
    return splits


@dataclass(frozen=True)
class SplitFamily:
    """Which published rule the sizes of a split follow."""

    name: str  # "mmrec", "lattice", "mmrec or lattice" (no user tells them apart) or "other"
    mmrec: float  # share of users whose sizes are MMRec's
    lattice: float  # share of users whose sizes are LATTICE's


def split_family(users: NDArray[np.int32], splits: NDArray[np.int8]) -> SplitFamily:
    """Compare every user's sizes with the two published rules; users without rows do not count."""
    width = int(users.max()) + 1 if len(users) else 1
    train, valid, test = (np.bincount(users[splits == code], minlength=width) for code in (TRAIN, VALID, TEST))
    counts = train + valid + test
    present = counts > 0
    if not present.any():
        return SplitFamily("other", 0.0, 0.0)
    smaller, larger = mmrec_sizes(counts)
    mmrec = float(((valid == smaller) & (test == larger))[present].mean())
    few = counts < 10  # where the two rules are one
    lattice_valid, lattice_test = np.where(few, smaller, larger), np.where(few, larger, smaller)
    lattice = float(((valid == lattice_valid) & (test == lattice_test))[present].mean())
    names = [name for name, share in (("mmrec", mmrec), ("lattice", lattice)) if share == 1.0]
    return SplitFamily(" or ".join(names) or "other", mmrec, lattice)
