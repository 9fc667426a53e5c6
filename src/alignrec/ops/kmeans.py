"""k-means by Lloyd's passes, for thousands of centres: every centre in use, and the same bytes for the same draws.

The start is distinct rows at random: k-means++ draws centre after centre, which for thousands takes longer than all
passes together. What it would save is made good by moving each centre that nobody is nearest to ("dead") onto one of
the rows that are worst served.
"""

import numpy as np
import torch
from torch import Tensor

from alignrec.errors import UsageError
from alignrec.ops.matmul import matmul

__all__ = ["fit_centres", "nearest_centres"]

_TILE = 1 << 20  # distances held at once: 4 MB stay near the processor
_REPAIRS = 20


def fit_centres(rows: Tensor, k: int, rng: np.random.Generator, passes: int = 12) -> Tensor:
    """`k` centres (k, d) of the rows (n, d), each the nearest centre of at least one row.

    Raises:
        UsageError: fewer than `k` rows are different.
    """
    distinct = torch.unique(rows, dim=0)
    if len(distinct) < k:
        raise UsageError(f"{k} centres of {len(distinct)} different rows; give at most as many centres as rows")
    start = np.sort(rng.choice(len(distinct), k, replace=False))
    centres: Tensor = distinct[torch.from_numpy(start)].clone()
    for _ in range(passes):
        owners, distances = nearest_centres(rows, centres)
        centres = _means(rows, owners, centres)
        _revive(rows, centres, owners, distances)
    for _ in range(_REPAIRS):  # the last moves may have left a centre alone
        owners, distances = nearest_centres(rows, centres)
        if not _revive(rows, centres, owners, distances):
            break
    return centres


def nearest_centres(rows: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centre of each row (n,) int64, the first of equals, and its squared distance (n,)."""
    lengths = centres.square().sum(1)
    turned = (centres * -2).t()
    owners = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
    distances = rows.square().sum(1)
    step = max(1, _TILE // len(centres))
    for start in range(0, len(rows), step):
        tile = matmul(rows[start : start + step], turned).add_(lengths)
        owner = _first_least(tile)
        owners[start : start + step] = owner
        distances[start : start + step] += tile.gather(1, owner.unsqueeze(1)).squeeze(1)
    return owners, distances.clamp_(min=0)


def _first_least(tile: Tensor) -> Tensor:
    if tile.device.type == "cpu":  # NumPy's search is some ten times faster than torch's
        return torch.from_numpy(tile.numpy().argmin(1))
    return tile.argmin(1)


def _means(rows: Tensor, owners: Tensor, centres: Tensor) -> Tensor:
    """The mean of each centre's rows; a centre without rows stays where it is."""
    sums = torch.zeros(centres.shape, dtype=torch.float64).index_add_(0, owners, rows.double())
    counts = torch.bincount(owners, minlength=len(centres)).unsqueeze(1)
    means: Tensor = (sums / counts.clamp(min=1)).to(rows.dtype)
    return torch.where(counts > 0, means, centres)


def _revive(rows: Tensor, centres: Tensor, owners: Tensor, distances: Tensor) -> int:
    """Put each dead centre on another of the rows farthest from their centres, in place; returns how many."""
    dead = torch.nonzero(torch.bincount(owners, minlength=len(centres)) == 0).squeeze(1)
    if not len(dead):
        return 0
    order = torch.sort(distances, descending=True, stable=True).indices
    far = _first_distinct(rows, order, len(dead))
    centres[dead[: len(far)]] = rows[far]
    return len(dead)


def _first_distinct(rows: Tensor, order: Tensor, count: int) -> Tensor:
    """The first `count` of `order` whose rows are all different (fewer where there are not so many)."""
    for size in (4 * count, len(order)):
        head = order[:size]
        kinds = torch.unique(rows[head], dim=0, return_inverse=True)[1]
        first = torch.full((int(kinds.max()) + 1,), len(head)).scatter_reduce_(
            0, kinds, torch.arange(len(head)), "amin"
        )
        if len(first) >= count:
            break
    return head[first.sort().values[:count]]
