import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from alignrec.ranking.selection import BLOCK, EMPTY, TileSelector, pack, unpack

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(floats, floats, st.integers(0, 2**31 - 2), st.integers(0, 2**31 - 2))
def test_keys_are_ordered_by_score_and_then_by_falling_item_index(a: float, b: float, i: int, j: int) -> None:
    first, second = pack(np.array([a, b], np.float32), np.array([i, j]))
    expected = (a > b) or (a == b and i < j)
    assert (first > second) == expected


@given(floats, st.integers(0, 2**31 - 2))
def test_a_key_gives_back_its_item_and_score(score: float, item: int) -> None:
    items, scores = unpack(pack(np.array([score], np.float32), np.array([item])))
    assert (items[0], scores[0]) == (item, np.float32(score))


def test_minus_zero_ties_with_zero() -> None:
    keys = pack(np.array([-0.0, 0.0], np.float32), np.array([3, 3]))
    assert keys[0] == keys[1]


def test_nothing_and_minus_infinity_are_item_minus_one() -> None:
    masked = pack(np.array([-np.inf], np.float32), np.array([5]))
    items, scores = unpack(np.array([EMPTY, masked[0]]))
    assert items.tolist() == [-1, -1]
    assert scores.tolist() == [-np.inf, -np.inf]


def _tile(*rows: list[float]) -> torch.Tensor:
    """Scores in a tile one block wide; the rest is what nobody should look at."""
    return torch.nn.functional.pad(torch.tensor(rows), (0, BLOCK - len(rows[0])), value=99.0)


def test_best_of_a_tile_by_hand() -> None:
    tile = _tile([1.0, 3, 3, 0, 3], [-1.0, -2, -3, -4, -5])
    items, scores = unpack(TileSelector(2, 5, 2).best(tile, 2, 10, None))
    assert items.tolist() == [[11, 12], [10, 11]]
    assert scores.tolist() == [[3, 3], [-1, -2]]


def test_a_later_tile_enters_only_with_a_better_score() -> None:
    selector = TileSelector(1, 3, 2)
    first = selector.best(_tile([5.0, 5, 1]), 1, 0, None)
    items, _ = unpack(selector.best(_tile([5.0, 7, 0]), 1, 3, first))
    assert items.tolist() == [[4, 0]]
