import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from alignrec.errors import TrainingError, UsageError
from alignrec.ranking import top_k, top_k_similar, topk


def _random(n_users: int, n_items: int, d: int = 16, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n_users, d, generator=rng), torch.randn(n_items, d, generator=rng)


def _integers(n_users: int, n_items: int, d: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Small whole numbers: products are exact in float32 and many scores tie."""
    rng = torch.Generator().manual_seed(seed)
    return (
        torch.randint(-2, 3, (n_users, d), generator=rng).float(),
        torch.randint(-2, 3, (n_items, d), generator=rng).float(),
    )


def _mask(n_users: int, n_items: int, share: float, seed: int = 0) -> sparse.csr_array:
    draw = np.random.default_rng(seed).random((n_users, n_items)) < share
    return sparse.csr_array(draw.astype(np.float32))


def _by_sorting(users: torch.Tensor, items: torch.Tensor, k: int, exclude: sparse.csr_array | None) -> tuple:
    """The definition: a stable sort of all scores."""
    scores = (users.double() @ items.double().t()).numpy()
    if exclude is not None:
        scores[exclude.toarray() > 0] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, 1)
    order[best == -np.inf] = -1
    fill = ((0, 0), (0, k - order.shape[1]))
    return np.pad(order, fill, constant_values=-1), np.pad(best, fill, constant_values=-np.inf)


def test_three_best_by_hand() -> None:
    users = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    items = torch.tensor([[3.0, 1.0], [1.0, 2.0], [2.0, 5.0], [2.0, 0.0]])
    ranking = top_k(users, items, 3)
    assert ranking.items.tolist() == [[0, 2, 3], [2, 1, 0]]
    assert ranking.scores.tolist() == [[3, 2, 2], [5, 2, 1]]


def test_seen_items_are_not_recommended() -> None:
    seen = sparse.csr_array(np.array([[1, 0, 1], [0, 0, 0]], dtype=np.float32))
    ranking = top_k(torch.ones(2, 1), torch.tensor([[3.0], [1.0], [2.0]]), 2, exclude=seen)
    assert ranking.items.tolist() == [[1, -1], [0, 2]]
    assert ranking.scores[0].tolist() == [1, -torch.inf]


def test_equal_scores_are_ordered_by_item_index_even_at_the_border() -> None:
    ranking = top_k(torch.ones(3, 1), torch.ones(500, 1), 7)
    assert ranking.items.tolist() == [list(range(7))] * 3


def test_k_beyond_the_number_of_items_is_filled_up() -> None:
    ranking = top_k(torch.ones(1, 1), torch.tensor([[1.0], [2.0]]), 4)
    assert ranking.items.tolist() == [[1, 0, -1, -1]]
    assert ranking.scores.tolist() == [[2, 1, -torch.inf, -torch.inf]]


def test_no_user_and_no_item_are_no_error() -> None:
    assert top_k(torch.ones(0, 2), torch.ones(3, 2), 2).items.shape == (0, 2)
    assert top_k(torch.ones(2, 2), torch.ones(0, 2), 2).items.tolist() == [[-1, -1]] * 2


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 300), st.integers(1, 3), st.integers(1, 60), st.floats(0, 1), st.integers(0, 99)
)
def test_equals_a_stable_sort_with_many_ties_and_masks(
    n_users: int, n_items: int, d: int, k: int, share: float, seed: int
) -> None:
    users, items = _integers(n_users, n_items, d, seed)
    exclude = _mask(n_users, n_items, share, seed)
    ranking = top_k(users, items, k, exclude=exclude, tile_bytes=1 << (12 + seed % 12))
    expected_items, expected_scores = _by_sorting(users, items, k, exclude)
    np.testing.assert_array_equal(ranking.items.numpy(), expected_items)
    np.testing.assert_array_equal(ranking.scores.numpy(), expected_scores)


@pytest.mark.parametrize("k", [1, 20, 50, 1000])
def test_equals_a_stable_sort_on_a_catalogue_of_thousands(k: int) -> None:
    users, items = _integers(150, 5000, 4, 1)
    exclude = _mask(150, 5000, 0.02)
    expected_items, expected_scores = _by_sorting(users, items, k, exclude)
    ranking = top_k(users, items, k, exclude=exclude)
    np.testing.assert_array_equal(ranking.items.numpy(), expected_items)
    np.testing.assert_array_equal(ranking.scores.numpy(), expected_scores)


@pytest.mark.parametrize("make", [_integers, _random])
def test_the_answer_does_not_depend_on_the_tile_size(make) -> None:
    users, items = make(200, 3000, 16, 3)
    exclude = _mask(200, 3000, 0.01)
    whole = top_k(users, items, 30, exclude=exclude)
    for tile_bytes in (1, 1 << 14, 1 << 17, 1 << 19, 1 << 23):
        tiled = top_k(users, items, 30, exclude=exclude, tile_bytes=tile_bytes)
        assert torch.equal(tiled.items, whole.items)
        assert torch.equal(tiled.scores, whole.scores)


def test_users_ranked_alone_get_what_they_get_among_all() -> None:
    users, items = _random(300, 2000, 64)
    exclude = _mask(300, 2000, 0.02)
    whole = top_k(users, items, 20, exclude=exclude)
    rows = np.array([299, 0, 7, 7])
    some = top_k(users, items, 20, exclude=exclude, rows=rows)
    assert torch.equal(some.items, whole.items[rows])
    assert torch.equal(some.scores, whole.scores[rows])


def test_a_product_into_fresh_memory_gives_the_same_lists(monkeypatch) -> None:
    users, items = _integers(100, 3001, 6, 4)
    exclude = _mask(100, 3001, 0.1)
    expected = top_k(users, items, 20, exclude=exclude)
    monkeypatch.setattr(topk, "uses_onednn", lambda: True)
    found = top_k(users, items, 20, exclude=exclude, tile_bytes=1 << 18)
    assert torch.equal(found.items, expected.items)
    assert torch.equal(found.scores, expected.scores)


@pytest.mark.parametrize("tile_bytes", [1 << 14, 1 << 22])
def test_the_way_for_other_devices_gives_the_same_lists(tile_bytes: int) -> None:
    users, items = _integers(300, 1000, 3, 5)
    exclude = sparse.vstack([sparse.csr_array(np.ones((1, 1000), np.float32)), _mask(299, 1000, 0.3)], format="csr")
    expected = top_k(users, items, 25, exclude=exclude)
    found = topk._rank_torch(users, items, 25, exclude, tile_bytes)
    assert torch.equal(found.items, expected.items)
    assert torch.equal(found.scores, expected.scores)


@pytest.mark.gpu
def test_cuda_gives_the_same_lists() -> None:
    users, items = _integers(300, 1000, 8, 5)
    exclude = _mask(300, 1000, 0.3)
    expected = top_k(users, items, 25, exclude=exclude)
    found = top_k(users.cuda(), items.cuda(), 25, exclude=exclude)
    assert found.items.is_cuda
    assert torch.equal(found.items.cpu(), expected.items)
    assert torch.equal(found.scores.cpu(), expected.scores)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64])
def test_embeddings_of_another_precision_are_scored_in_single(precision: torch.dtype) -> None:
    users, items = _integers(5, 40, 3, 6)
    expected = top_k(users, items, 6)
    for left, right in ((users.to(precision), items), (users, items.to(precision))):
        found = top_k(left, right, 6)
        assert found.scores.dtype == torch.float32
        assert torch.equal(found.items, expected.items)


def test_no_gradient_history_is_kept() -> None:
    users, items = _random(3, 5)
    assert not top_k(users.requires_grad_(), items.requires_grad_(), 2).scores.requires_grad


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_memory_is_bounded_by_tiles_and_lists() -> None:
    """Peak memory of the process grows by far less than the 400 MB of all scores."""
    code = """
import re, torch
from pathlib import Path
from alignrec.ranking import top_k
torch.set_num_threads(1)
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
users, items = torch.randn(10000, 8), torch.randn(10000, 8)
top_k(users[:64], items, 20)
before = peak()
top_k(users, items, 20)
print(peak() - before)
"""
    grown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lists = 10000 * 20 * 12
    assert int(grown.stdout) * 1024 < 3 * lists + 30e6


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_an_embedding_that_is_not_finite_is_named(bad: float) -> None:
    users, items = _random(3, 5)
    items[2, 1] = bad
    with pytest.raises(TrainingError, match="item number 2 is not finite"):
        top_k(users, items, 2)


def test_large_scores_that_do_not_overflow_are_ranked() -> None:
    items = torch.zeros(3, 4)
    items[:, 0] = torch.tensor([1.0, 1.8e19, -1.8e19])
    ranking = top_k(torch.tensor([[1.8e19, 0.0, 0.0, 0.0]]), items, 3)
    assert ranking.items.tolist() == [[1, 0, 2]]


def test_scores_that_overflow_are_refused() -> None:
    with pytest.raises(TrainingError, match="too large to score"):
        top_k(torch.full((1, 2), 1e20), torch.full((2, 2), 1e20), 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k must be at least 1"),
        ({"items": torch.ones(4, 3)}, "equal width"),
        ({"rows": [0, 9]}, "does not exist"),
        ({"exclude": sparse.csr_array((2, 4))}, "exclude has shape"),
    ],
)
def test_a_wrong_call_is_refused(change: dict, message: str) -> None:
    call = {"users": torch.ones(3, 2), "items": torch.ones(4, 2), "k": 2} | change
    with pytest.raises(UsageError, match=message):
        top_k(**call)


def test_similar_items_by_hand_never_the_item_itself() -> None:
    items = torch.tensor([[1.0, 0.0], [10.0, 0.1], [0.0, 2.0], [0.0, 0.0]])
    ranking = top_k_similar(items, 2)
    assert ranking.items.tolist() == [[1, 2], [0, 2], [1, 0], [0, 1]]
    assert ranking.scores[0, 0] == pytest.approx(10 / np.hypot(10, 0.1))
    assert ranking.scores[3].tolist() == [0, 0]


def test_similar_items_for_some_rows() -> None:
    _, items = _random(0, 90)
    rows = [5, 3]
    assert torch.equal(top_k_similar(items, 4, rows=rows).items, top_k_similar(items, 4).items[rows])
