import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import normalize

from alignrec.errors import UsageError
from alignrec.losses import uniformity


def draw(rows: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ids_of(rows: int, table_rows: int) -> Tensor:
    return (torch.rand(rows, generator=torch.Generator().manual_seed(1)) ** 3 * table_rows).long()


def plain(x: Tensor) -> Tensor:
    """As it is written, over all pairs."""
    return torch.pdist(normalize(x)).square().mul(-2).exp().mean().log()


def test_three_points_by_hand() -> None:
    table = torch.tensor([[3.0, 0.0], [0.0, 2.0], [-1.0, 0.0]])  # squared distances 2, 4, 2
    expected = math.log((2 * math.exp(-4) + math.exp(-8)) / 3)
    assert uniformity(table, torch.arange(3)).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_counting_distinct_rows_in_tiles_is_the_loss_of_all_pairs_and_its_gradient(dtype, tolerance) -> None:
    table, ids = draw(500, 6).requires_grad_(), ids_of(900, 500)
    assert 256 < len(ids.unique()) < 500
    expected = plain(table[ids])
    (gradient,) = torch.autograd.grad(3.0 * expected, table)
    ours = table.detach().to(dtype).requires_grad_()
    found = uniformity(ours, ids)
    (3.0 * found).backward()
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(ours.grad.double(), gradient, rtol=tolerance, atol=tolerance)


def test_gradients_match_finite_differences() -> None:
    assert gradcheck(lambda x: uniformity(x, torch.tensor([0, 4, 4, 2]), 1.5), draw(5, 3).requires_grad_())


def test_copies_of_one_row_are_at_distance_0_and_a_single_row_has_no_pair() -> None:
    table = draw(3, 2).requires_grad_()
    assert uniformity(table, torch.tensor([1, 1, 1])).item() == pytest.approx(0.0, abs=1e-12)
    alone = uniformity(table, torch.tensor([2]))
    alone.backward()
    assert alone.item() == 0.0
    assert not table.grad.any()


def test_no_rows_are_refused_in_words() -> None:
    with pytest.raises(UsageError, match="at least one id"):
        uniformity(torch.ones(3, 2), torch.tensor([], dtype=torch.long))
