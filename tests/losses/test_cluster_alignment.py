from itertools import permutations
from pathlib import Path

import pytest
import torch
from golden import assert_close, load_golden
from torch import Tensor
from torch.nn.functional import log_softmax, normalize

from alignrec.errors import UsageError
from alignrec.losses import Sinkhorn, cluster_alignment, sinkhorn_codes, swapped_prediction


def unit(rows: int, size: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    drawn = torch.randn(rows, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return normalize(drawn).to(dtype)


def textbook_codes(cosines: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Sinkhorn as it is printed: prototypes to equal mass, then rows, on a matrix (P, B) that sums to 1."""
    q = (cosines / epsilon).exp().t()
    q = q / q.sum()
    for _ in range(iterations):
        q = q / q.sum(dim=1, keepdim=True) / q.shape[0]
        q = q / q.sum(dim=0, keepdim=True) / q.shape[1]
    return (q * q.shape[1]).t()


def plain(codebook: Tensor, temperature: Tensor, views: list[Tensor], rows: list[Tensor]) -> Tensor:
    """The formula with every matrix written out, one row per pair."""
    scores = [view[numbers] @ codebook.t() for view, numbers in zip(views, rows, strict=True)]
    codes = [textbook_codes(z.detach(), 0.05, 3) for z in scores]
    pairs = list(permutations(range(len(views)), 2))
    terms = [-(codes[n] * log_softmax(scores[m] / temperature, dim=1)).sum(1).mean() for m, n in pairs]
    return torch.stack(terms).sum() / len(pairs)


def test_codes_equal_the_authors(goldens: Path) -> None:
    golden = load_golden(goldens, "fettle_cla").tensors
    names = [name.removeprefix("inter/logits_") for name in golden if name.startswith("inter/logits_")]
    assert len(names) == 5
    for name in names:
        assert_close(
            sinkhorn_codes(golden[f"inter/logits_{name}"], Sinkhorn()), golden[f"inter/code_{name}"], 1e-12, name
        )


def test_codes_are_shares_that_use_prototypes_evenly() -> None:
    cosines = unit(200, 4, 0) @ unit(10, 4, 1).t()
    codes = sinkhorn_codes(cosines, Sinkhorn(iterations=50))
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(200, dtype=torch.float64))
    torch.testing.assert_close(codes.sum(dim=0), torch.full((10,), 20.0, dtype=torch.float64), rtol=0.02, atol=0)
    softmax = (cosines / 0.05).softmax(dim=1).sum(dim=0)
    assert softmax.max() > 1.5 * softmax.mean(), "without Sinkhorn they are not even here"


def test_a_row_with_a_count_is_that_many_rows() -> None:
    cosines, counts = unit(5, 3, 0) @ unit(4, 3, 1).t(), torch.tensor([1, 3, 1, 2, 1])
    written_out = sinkhorn_codes(cosines.repeat_interleave(counts, dim=0), Sinkhorn())
    torch.testing.assert_close(
        sinkhorn_codes(cosines, Sinkhorn(), counts).repeat_interleave(counts, dim=0), written_out
    )


@pytest.mark.parametrize("n_views", [2, 3, 4])
@pytest.mark.parametrize("temperature", [0.3, 0.01])
def test_value_and_gradients_equal_the_formula_written_out(
    monkeypatch: pytest.MonkeyPatch, n_views: int, temperature: float
) -> None:
    monkeypatch.setattr(cluster_alignment, "_TILE_NUMBERS", 20)  # tiles of two rows
    codebook, theta = unit(9, 5, 0), torch.tensor(temperature, dtype=torch.float64)
    views = [unit(6 + view, 5, 1 + view) for view in range(n_views)]
    draw = torch.Generator().manual_seed(9)
    rows = [torch.cat([torch.arange(len(v)), torch.randint(len(v), (14 - len(v),), generator=draw)]) for v in views]
    results = []
    for loss in (plain, lambda *args: swapped_prediction(*args, Sinkhorn())):
        leaves = [tensor.clone().requires_grad_() for tensor in (codebook, theta, *views)]
        value = loss(leaves[0], leaves[1], leaves[2:], rows)
        (3.0 * value).backward()
        results.append([value.detach(), *(leaf.grad for leaf in leaves)])
    for found, expected in zip(*reversed(results), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.99, 0.1, 0.01])
def test_float32_is_close_to_float64(temperature: float) -> None:
    results = []
    for dtype in (torch.float32, torch.float64):
        leaves = [
            unit(300, 16, 0, dtype),
            torch.tensor(temperature, dtype=dtype),
            unit(60, 16, 1, dtype),
            unit(40, 16, 2, dtype),
        ]
        leaves = [leaf.requires_grad_() for leaf in leaves]
        rows = [torch.arange(120) % 60, torch.arange(120) % 40]
        value = swapped_prediction(leaves[0], leaves[1], leaves[2:], rows, Sinkhorn())
        value.backward()
        results.append([value.detach().double(), *(leaf.grad.double() for leaf in leaves)])
    for single, double in zip(*results, strict=True):
        assert (single - double).abs().max() <= 2e-5 * max(1.0, double.abs().max().item())


def test_views_that_do_not_pair_up_are_refused() -> None:
    table, theta = unit(4, 3, 0), torch.tensor(0.1)
    with pytest.raises(UsageError, match="1 views with rows"):
        swapped_prediction(table, theta, [table], [torch.arange(4)], Sinkhorn())
    with pytest.raises(UsageError, match=r"2 views with rows \[\(4,\)\] cannot predict each other"):
        swapped_prediction(table, theta, [table, table], [torch.arange(4)], Sinkhorn())
    with pytest.raises(UsageError, match=r"2 views with rows \[\(3,\), \(4,\)\] cannot predict each other"):
        swapped_prediction(table, theta, [table, table], [torch.arange(4), torch.arange(3)], Sinkhorn())


@pytest.mark.parametrize("wrong", [{"temperature": 0.01}, {"iterations": 0}])
def test_a_sinkhorn_that_would_overflow_or_do_nothing_is_refused(wrong: dict) -> None:
    with pytest.raises(UsageError, match=r"temperature of at least 0\.025 and one iteration"):
        Sinkhorn(**wrong)
