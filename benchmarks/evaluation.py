"""Full-ranking evaluation at Baby's size: the library against the field's toolbox way, side by side in one run.

The plain side is a fresh writing of how the toolbox evaluates: per batch of 4,096 users one more forward pass of
LightGCN (COO product), the full score matrix, -1e10 written over the training items, `torch.topk` 50; then a Python
hit test per listed item and metric loops per user; once for validation and once more for test. As in the toolbox, the
hit test asks a NumPy array per user (`item in array`), which is more than half of its time; a third row says what is
left when it asks a set instead. Random embeddings, one thread, medians.
"""

import re
import subprocess
import sys
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from alignrec.evaluation import evaluate_embeddings
from alignrec.ops import SparseOperator, propagate_mean
from alignrec.types import Embeddings
from benchmarks.measure import take_turns

__all__ = ["run"]

N_USERS, N_ITEMS, SIZE, LAYERS = 19_445, 7_050, 64, 2  # Amazon Baby and the usual LightGCN
SPLIT_SIZES = {"train": 118_551, "valid": 20_559, "test": 21_682}
CUTOFFS = (5, 10, 20, 50)
METRICS = tuple(f"{kind}@{k}" for kind in ("recall", "ndcg", "precision", "map") for k in CUTOFFS)
GOALS = {  # (plain side, splits): goal
    ("arrays", ("valid",)): 9.0,
    ("arrays", ("valid", "test")): 16.0,
    ("sets", ("valid",)): None,
}


@dataclass(frozen=True)
class Case:
    """One synthetic dataset in the shapes both sides like best, prepared outside the clock."""

    splits: dict[str, sparse.csr_array]  # (U, I) each
    table: Tensor  # (U + I, d)
    operator: SparseOperator  # ours
    coo: Tensor  # the plain one's normalised adjacency
    seen: tuple[NDArray[np.int64], NDArray[np.int64]]  # training pairs sorted by user
    arrays: dict[str, list[NDArray[np.int64]]]  # split -> each user's relevant items
    sets: dict[str, list[set[int]]]  # the same


def _draw() -> Case:
    rng = np.random.default_rng(0)
    popularity = 1 / np.arange(1, N_ITEMS + 1) ** 0.6
    splits = {name: _pairs(rng, size, popularity / popularity.sum()) for name, size in SPLIT_SIZES.items()}
    train = splits["train"]
    adjacency = sparse.block_array([[None, train], [train.T, None]], format="csr")
    scale = 1 / np.sqrt(np.maximum(adjacency.sum(1), 1))
    adjacency = sparse.csr_array(sparse.diags_array(scale) @ adjacency @ sparse.diags_array(scale), dtype=np.float32)
    entries = adjacency.tocoo()
    where = torch.from_numpy(np.stack(entries.coords).astype(np.int64))
    coo = torch.sparse_coo_tensor(where, torch.from_numpy(entries.data), entries.shape, check_invariants=True)
    table = torch.randn(N_USERS + N_ITEMS, SIZE, generator=torch.Generator().manual_seed(0)) * 0.1
    arrays = {name: np.split(m.indices.astype(np.int64), m.indptr[1:-1]) for name, m in splits.items()}
    sets = {name: [set(relevant.tolist()) for relevant in users] for name, users in arrays.items()}
    seen = np.repeat(np.arange(N_USERS), np.diff(train.indptr)), train.indices.astype(np.int64)
    operator = SparseOperator.from_scipy(adjacency, symmetric=True)
    return Case(splits, table, operator, coo.coalesce(), seen, arrays, sets)


def _pairs(rng: np.random.Generator, size: int, weights: NDArray[np.float64]) -> sparse.csr_array:
    """`size` distinct pairs, at least one a user, items by `weights`; values are 1."""
    users = np.concatenate([np.arange(N_USERS), rng.integers(0, N_USERS, 2 * size)])
    keys = users * N_ITEMS + rng.choice(N_ITEMS, len(users), p=weights)
    _, first = np.unique(keys, return_index=True)
    keys = keys[np.sort(first)[:size]]  # in the order drawn: every user's first pair is kept
    pairs = sparse.csr_array((np.ones(size, np.float32), (keys // N_ITEMS, keys % N_ITEMS)), shape=(N_USERS, N_ITEMS))
    pairs.sort_indices()
    return pairs


@torch.no_grad()
def _ours(case: Case, names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """One forward pass and one top-k pass for all splits."""
    nodes = propagate_mean(case.operator, case.table, LAYERS)
    embeddings = Embeddings(nodes[:N_USERS], nodes[N_USERS:])
    truths = {name: case.splits[name] for name in names}
    reports = evaluate_embeddings(embeddings, truths, seen=case.splits["train"], metrics=METRICS)
    return {name: dict(report.means) for name, report in reports.items()}


@torch.no_grad()
def _arrays(case: Case, names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    return {name: _plain_split(case, case.arrays[name]) for name in names}


@torch.no_grad()
def _sets(case: Case, names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    return {name: _plain_split(case, case.sets[name]) for name in names}


def _plain_split(case: Case, truth: Sequence[Container[int]]) -> dict[str, float]:
    users, items = case.seen
    lists = []
    for first in range(0, N_USERS, 4096):
        layers = [case.table]
        for _ in range(LAYERS):
            layers.append(torch.sparse.mm(case.coo, layers[-1]))
        nodes = torch.stack(layers, dim=1).mean(dim=1)
        last = min(first + 4096, N_USERS)
        scores = nodes[first:last] @ nodes[N_USERS:].t()
        a, b = np.searchsorted(users, [first, last])
        scores[torch.from_numpy(users[a:b] - first), torch.from_numpy(items[a:b])] = -1e10
        lists.append(torch.topk(scores, max(CUTOFFS), dim=-1).indices)
    hits = []
    for relevant, listed in zip(truth, torch.cat(lists).numpy(), strict=True):
        hits.append([item in relevant for item in listed])
    return _plain_metrics(np.asarray(hits), np.array([len(relevant) for relevant in truth]))


def _plain_metrics(hits: NDArray[np.bool_], relevant: NDArray[np.int64]) -> dict[str, float]:
    depth = hits.shape[1]
    ranks = np.arange(1, depth + 1)
    recall = np.cumsum(hits, axis=1) / relevant[:, None]
    precision = hits.cumsum(axis=1) / ranks
    gains = np.tile(1 / np.log2(ranks + 1), (len(hits), 1))
    ideal = np.cumsum(gains, axis=1)
    lengths = np.minimum(relevant, depth)
    for row, length in enumerate(lengths):
        ideal[row, length:] = ideal[row, length - 1]
    ndcg = np.cumsum(np.where(hits, gains, 0), axis=1) / ideal
    summed = np.cumsum(precision * hits, axis=1)
    average = np.zeros_like(summed)
    for row, length in enumerate(lengths):
        divisor = np.arange(1, depth + 1)
        divisor[length:] = divisor[length - 1]
        average[row] = summed[row] / divisor
    tables = {"recall": recall, "ndcg": ndcg, "precision": precision, "map": average}
    return {f"{kind}@{k}": float(table.mean(axis=0)[k - 1]) for kind, table in tables.items() for k in CUTOFFS}


_SIDES = {"arrays": _arrays, "sets": _sets, "ours": _ours}


def run(repeats: int = 3) -> list[dict[str, object]]:
    """Rows of name, plain_s and ours_s (CPU seconds, medians of `repeats`), ratio, goal, plain_mb and ours_mb.

    The last two are what one evaluation adds to the process's peak memory, each measured in a process of its own.
    """
    torch.set_num_threads(1)
    case = _draw()
    _check_equal(case)
    keys = list(dict.fromkeys(key for plain, names in GOALS for key in ((plain, names), ("ours", names))))
    sides = [(partial(_SIDES[side], case, names), side == "ours") for side, names in keys]
    turns = take_turns(1 + repeats, *sides)  # the first call warms up
    middle = {key: median(turn.seconds for turn in taken[1:]) for key, taken in zip(keys, turns, strict=True)}
    peaks = {side: _peak_of(side) for side in ("arrays", "ours")}
    return [
        {
            "name": f"evaluation, {' + '.join(names)}" + (", plain hit test by sets" if plain == "sets" else ""),
            "plain_s": middle[plain, names],
            "ours_s": middle["ours", names],
            "ratio": middle[plain, names] / middle["ours", names],
            "goal": goal,
            "plain_mb": peaks["arrays"],
            "ours_mb": peaks["ours"],
        }
        for (plain, names), goal in GOALS.items()
    ]


def _check_equal(case: Case) -> None:
    """A faster answer that differs is no answer. Rounding may swap two items of nearly equal score: hence 1e-5."""
    ours, plain = _ours(case, ("valid", "test")), _arrays(case, ("valid", "test"))
    for split, means in plain.items():
        for name, value in means.items():
            if abs(ours[split][name] - value) > 1e-5:
                raise AssertionError(f"{name} on {split}: {ours[split][name]} against {value} the plain way")


def _peak_of(side: str) -> float:
    """MB that one evaluation adds to the peak of a fresh process; nan where the system does not tell."""
    command, root = [sys.executable, "-m", "benchmarks.evaluation", side], Path(__file__).parents[1]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout
    return float(output)


def _peak() -> float:
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii")) if status.exists() else None
    return int(found[1]) / 1024 if found else float("nan")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        one = _draw()
        before = _peak()
        _SIDES[sys.argv[1]](one, ("valid",))
        print(_peak() - before)
    else:
        for line in run():
            print(line)
