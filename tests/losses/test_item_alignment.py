import math
from itertools import permutations

import pytest
import torch
from torch import Tensor

from alignrec.losses.item_alignment import (
    Direction,
    Mapped,
    alignment_directions,
    direction_tuning,
    item_alignment,
    map_items,
)

PAIRS = list(permutations(range(3), 2))
# feedback of three modalities (rows) on four items: V < T < ID, ID < T < V, T = ID < V, all equal
SCORES = torch.tensor([[0.9, 0.1, 0.2, 0.5], [0.3, 0.8, 0.6, 0.5], [0.7, 0.4, 0.2, 0.5]])


def by_pair(directions: list[Direction]) -> dict[tuple[int, int], list[int]]:
    assert [(d.source, d.target) for d in directions] == PAIRS
    return {(d.source, d.target): d.items.tolist() for d in directions}


def test_the_lower_of_every_pair_is_pulled_toward_the_higher() -> None:
    found = by_pair(alignment_directions(SCORES, "directed"))
    assert found == {(0, 1): [1, 2], (0, 2): [1], (1, 0): [0], (1, 2): [0], (2, 0): [0], (2, 1): [1, 2]}


def test_an_item_without_ties_has_one_direction_for_each_pair_of_modalities() -> None:
    scores = torch.rand(4, 30, generator=torch.Generator().manual_seed(0))
    directions = alignment_directions(scores, "directed")
    assert torch.bincount(torch.cat([d.items for d in directions])).tolist() == [6] * 30


def test_topmost_pulls_everything_toward_the_highest_alone() -> None:
    found = by_pair(alignment_directions(SCORES, "topmost"))
    assert found == {(0, 1): [1, 2], (0, 2): [], (1, 0): [0], (1, 2): [], (2, 0): [0], (2, 1): [1, 2]}


def test_bidirectional_goes_back_where_the_lower_one_is_good_enough() -> None:
    found = by_pair(alignment_directions(SCORES, "bidirectional", 0.35))
    # lower feedback above 0.35: item 0's modality 2 (0.7, toward 0) and item 1's modality 2 (0.4, toward 1)
    assert found == {(0, 1): [1, 2], (0, 2): [0, 1], (1, 0): [0], (1, 2): [0, 1], (2, 0): [0], (2, 1): [1, 2]}


def test_bidirectional_without_a_threshold_always_goes_both_ways_and_with_a_high_one_never() -> None:
    both = by_pair(alignment_directions(SCORES, "bidirectional"))
    assert all(both[m, n] == both[n, m] for m, n in PAIRS)
    assert by_pair(alignment_directions(SCORES, "bidirectional", 0.99)) == by_pair(
        alignment_directions(SCORES, "directed")
    )


def test_a_map_of_zeros_leaves_the_vectors() -> None:
    tables = [torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[0.0, 2.0], [5.0, 0.0]])]
    directions = [Direction(0, 1, torch.tensor([0])), Direction(1, 0, torch.tensor([1]))]
    raw = map_items(tables, directions, torch.zeros(2, 2, 2), unit=False)
    assert [m.vectors.tolist() for m in raw] == [[[3.0, 4.0]], [[5.0, 0.0]]]
    unit = map_items(tables, directions, torch.zeros(2, 2, 2), unit=True)
    torch.testing.assert_close(unit[0].vectors, torch.tensor([[0.6, 0.8]]))


def test_the_map_is_added_to_the_vector() -> None:
    swap = torch.tensor([[[0.0, 2.0], [1.0, 0.0]]])
    mapped = map_items([torch.tensor([[3.0, 4.0]])], [Direction(0, 0, torch.tensor([0]))], swap, unit=False)
    assert mapped[0].vectors.tolist() == [[3.0 + 8.0, 4.0 + 3.0]]


def test_alignment_of_a_worked_example() -> None:
    e1, e2 = [1.0, 0.0], [0.0, 1.0]
    tables = [torch.tensor([e1, e2]), torch.tensor([e1, e1])]
    mapped = [
        Mapped(Direction(0, 1, torch.tensor([1])), tables[0][[1]]),
        Mapped(Direction(1, 0, torch.tensor([0])), tables[1][[0]]),
    ]
    # item 1, source e2, candidates e1 and e1: log 2; item 0, source e1, candidates e1 and e2: log(1 + e^(-1/0.5))
    expected = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    assert item_alignment(mapped, tables, torch.tensor(0.5)).item() == pytest.approx(expected)


def random_tables() -> list[Tensor]:
    draw = torch.Generator().manual_seed(3)
    return [torch.randn(6, 4, generator=draw).requires_grad_() for _ in range(2)]


def test_targets_are_constants() -> None:
    tables = random_tables()
    mapped = [
        Mapped(Direction(0, 1, torch.arange(6)), tables[0]),
        Mapped(Direction(1, 0, torch.arange(0)), tables[1][:0]),
    ]
    item_alignment(mapped, tables, torch.tensor(0.1)).backward()
    assert tables[0].grad.abs().sum() > 0
    assert tables[1].grad is None or not tables[1].grad.any()


def test_nobody_to_align_costs_nothing() -> None:
    none = [Mapped(Direction(m, n, torch.arange(0)), torch.zeros(0, 4)) for m, n in ((0, 1), (1, 0))]
    assert item_alignment(none, random_tables(), torch.tensor(0.1)).item() == 0
    assert direction_tuning(none, torch.zeros(6, 4), torch.zeros(2, 6)).item() == 0


def test_direction_tuning_is_the_mean_gain_over_directions_with_members() -> None:
    users, scores = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.1, 0.3], [0.5, 0.2]])
    mapped = [
        Mapped(Direction(0, 1, torch.tensor([0])), torch.tensor([[0.7, 9.0]])),  # gain 0.7 − 0.1
        Mapped(Direction(1, 0, torch.tensor([1])), torch.tensor([[9.0, 0.4]])),  # gain 0.4 − 0.2
    ]
    assert direction_tuning(mapped, users, scores).item() == pytest.approx(-(0.6 + 0.2) / 2)
    one = [mapped[0], Mapped(Direction(1, 0, torch.arange(0)), torch.zeros(0, 2))]
    assert direction_tuning(one, users, scores).item() == pytest.approx(-0.6 / 2)
