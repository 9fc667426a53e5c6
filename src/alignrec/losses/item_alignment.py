"""Item-level alignment of modalities, directed by estimated feedback (FETTLE, Li et al., SIGIR 2024, sec. 3.1 and 3.2).

For the Q distinct items of a batch, M modalities x^m (the id vectors are one of them) and the users who took an item:

    s_q^m = mean over the item's users of u · x_q^m                         estimated feedback   (eq. 2)
    D^{m→n} = {q : s_q^m < s_q^n}                                           directions           (eq. 5)
    x^{m→n} = x^m + W^{m→n} x^m                                             mapped               (eq. 3)
    ILA = 1/Q Σ_{m→n} Σ_{q∈D} −log softmax_q'( cos(x_q^{m→n}, sg x_q'^n) / θ ) at q' = q          (eq. 4)
    DT = −1/(M(M−1)) Σ_{m→n} mean_{q∈D} ( mean over users of sg u · x_q^{m→n} − s_q^m )           (eq. 6)

in the form of the authors' code: the paper averages ILA over directions and takes all items as candidates.
"""

from itertools import permutations
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from alignrec.ops import matmul, unit_rows

__all__ = [
    "Direction",
    "Directions",
    "Mapped",
    "alignment_directions",
    "direction_tuning",
    "item_alignment",
    "map_items",
]

Directions = Literal["directed", "topmost", "bidirectional"]


class Direction(NamedTuple):
    """The items for which modality `source` is pulled toward modality `target`."""

    source: int
    target: int
    items: Tensor  # (k,) int64, positions among the Q items


class Mapped(NamedTuple):
    """The vectors x^{m→n} of a direction's items."""

    direction: Direction
    vectors: Tensor  # (k, d)


def alignment_directions(scores: Tensor, rule: Directions, threshold: float | None = None) -> list[Direction]:
    """Who is aligned with whom, for all ordered pairs of modalities in the order of `itertools.permutations`.

    Equal scores align in neither direction.

    Args:
        scores: s (M, Q).
        rule: `directed`: the lower toward the higher of every pair. `topmost`: all toward the highest alone.
            `bidirectional`: as directed, and back as well where even the lower one is above `threshold`.
        threshold: for `bidirectional`; None means always back as well.
    """
    below = scores[:, None] < scores[None, :]  # (M, M, Q): [m, n, q] says s_q^m < s_q^n
    if rule == "topmost":
        highest = torch.zeros_like(scores, dtype=torch.bool).scatter_(0, scores.argmax(dim=0, keepdim=True), True)
        below = below & highest[None]
    elif rule == "bidirectional":
        good = below if threshold is None else below & (scores > threshold)[:, None]
        below = below | good.transpose(0, 1)
    return [Direction(m, n, below[m, n].nonzero()[:, 0]) for m, n in permutations(range(len(scores)), 2)]


def map_items(tables: list[Tensor], directions: list[Direction], maps: Tensor, unit: bool) -> list[Mapped]:
    """x^{m→n} for the items of every direction.

    Args:
        tables: M times (Q, d).
        directions: of all ordered pairs.
        maps: W (M (M−1), d, d), in the order of `directions`.
        unit: whether the results are scaled to length 1.
    """
    mapped = []
    for direction, weight in zip(directions, maps, strict=True):
        rows = tables[direction.source].index_select(0, direction.items)
        vectors = rows + matmul(rows, weight.t())
        mapped.append(Mapped(direction, unit_rows(vectors) if unit else vectors))
    return mapped


def item_alignment(mapped: list[Mapped], tables: list[Tensor], temperature: Tensor) -> Tensor:
    """ILA. Targets are constants: the gradient reaches the sources, the maps and the temperature.

    Args:
        mapped: x^{m→n}.
        tables: M times (Q, d).
        temperature: θ, a scalar tensor.
    """
    total = temperature.new_zeros(())
    for target, table in enumerate(tables):
        toward = [m for m in mapped if m.direction.target == target]
        vectors = unit_rows(torch.cat([m.vectors for m in toward]))  # (k, d)
        candidates = unit_rows(table.detach())  # (Q, d)
        logits = matmul(vectors, candidates.t()) / temperature
        total = total + cross_entropy(logits, torch.cat([m.direction.items for m in toward]), reduction="sum")
    return total / len(tables[0])


def direction_tuning(mapped: list[Mapped], mean_users: Tensor, scores: Tensor) -> Tensor:
    """DT: mapped vectors should please the users of their items more than the vectors before.

    Args:
        mapped: x^{m→n}.
        mean_users: (Q, d) mean of the vectors of the users who took an item; a constant.
        scores: s (M, Q), constants: they move the value and no gradient.
    """
    total = mean_users.new_zeros(())
    for (source, _, items), vectors in mapped:
        if len(items):
            gain = (mean_users.index_select(0, items) * vectors).sum(dim=1) - scores[source].index_select(0, items)
            total = total - gain.mean()
    return total / len(mapped)
