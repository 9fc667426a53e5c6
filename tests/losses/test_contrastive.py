import json
import math

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import cross_entropy, normalize

from alignrec.errors import UsageError
from alignrec.losses import (
    contrastive,
    cosine_alignment,
    cosine_alignment_rows,
    info_nce,
    info_nce_against,
    info_nce_rows,
)

IDS = torch.tensor([0, 1, 2])


@pytest.fixture(autouse=True)
def same_numbers_every_time():
    torch.manual_seed(0)


def plain_info_nce(x: Tensor, y: Tensor, temperature: float) -> Tensor:
    """The whole B x B matrix."""
    return cross_entropy(normalize(x) @ normalize(y).t() / temperature, torch.arange(len(x)))


def value_and_gradients(function, *tables: Tensor) -> tuple[Tensor, ...]:
    tables = tuple(table.clone().requires_grad_() for table in tables)
    loss = function(*tables)
    return loss.detach(), *torch.autograd.grad(loss * 3.0, tables)


def batch_ids(rows: int, table_rows: int, seed: int = 0) -> Tensor:
    return (torch.rand(rows, generator=torch.Generator().manual_seed(seed)) ** 3 * table_rows).long()


def test_identical_orthogonal_views_give_the_worked_value():
    x = torch.eye(2) * 5.0  # cosines: 1 with the positive, 0 with the other
    expected = math.log(1 + math.exp(-1 / 0.5))
    assert info_nce(x, x, 0.5).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("temperature", [0.01, 0.05, 0.2, 5.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-11)])
def test_info_nce_is_the_dense_loss_in_value_and_gradient(temperature, dtype, tolerance):
    x, y = torch.randn(600, 8, dtype=dtype), torch.randn(600, 8, dtype=dtype)
    ours = value_and_gradients(lambda a, b: info_nce(a, b, temperature), x, y)
    plain = value_and_gradients(lambda a, b: plain_info_nce(a.double(), b.double(), temperature).to(dtype), x, y)
    torch.testing.assert_close(ours, plain, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-11)])
def test_counting_distinct_rows_gives_what_the_duplicates_give(dtype, tolerance):
    x, y, ids = torch.randn(300, 8, dtype=dtype), torch.randn(300, 8, dtype=dtype), batch_ids(700, 300)
    assert len(ids.unique()) < 400
    plain = value_and_gradients(lambda a, b: plain_info_nce(a[ids], b[ids], 0.2), x, y)
    by_rows = value_and_gradients(lambda a, b: info_nce_rows(a, b, ids, 0.2), x, y)
    by_groups = value_and_gradients(lambda a, b: info_nce(a[ids], b[ids], 0.2, ids, ids), x, y)
    torch.testing.assert_close(by_rows, plain, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(by_groups, plain, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("grouped", [(True, True), (True, False), (False, True), (False, False)])
def test_users_paired_with_items_repeat_differently_on_the_two_sides(grouped):
    users, items = batch_ids(400, 100, seed=1), batch_ids(400, 60, seed=2)
    x, y = torch.randn(100, 6), torch.randn(60, 6)
    groups = (users if grouped[0] else None, items if grouped[1] else None)
    plain = value_and_gradients(lambda a, b: plain_info_nce(a[users], b[items], 0.2), x, y)
    ours = value_and_gradients(lambda a, b: info_nce(a[users], b[items], 0.2, *groups), x, y)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("long_table", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-11)])
def test_against_a_whole_table_every_row_competes_once(dtype, tolerance, reduction, long_table, monkeypatch):
    if long_table:
        monkeypatch.setattr(contrastive, "_LONG_TABLE", 100)
        monkeypatch.setattr(contrastive, "_LONG_TILE", 1)
    anchors, table = torch.randn(80, 8, dtype=dtype), torch.randn(300, 8, dtype=dtype)
    anchor_ids, positives = batch_ids(200, 80, seed=1), batch_ids(200, 300, seed=2)

    def plain(a: Tensor, b: Tensor) -> Tensor:
        scores = normalize(a[anchor_ids]) @ normalize(b).t() / 0.2  # the whole B x N matrix
        return cross_entropy(scores.double(), positives, reduction=reduction).to(dtype)

    ours = value_and_gradients(
        lambda a, b: info_nce_against(a, anchor_ids, b, positives, 0.2, reduction), anchors, table
    )
    expected = value_and_gradients(plain, anchors, table)
    torch.testing.assert_close(ours, expected, rtol=tolerance, atol=20 * tolerance if reduction == "sum" else tolerance)


@pytest.mark.parametrize("long_table", [False, True])
@pytest.mark.parametrize("temperature", [0.2, 0.02])  # 0.02: exponents beyond what is safe without a shift
def test_candidates_that_are_few_vectors_in_proportions_need_no_table(temperature, long_table, monkeypatch):
    if long_table:
        monkeypatch.setattr(contrastive, "_LONG_TABLE", 8)
        monkeypatch.setattr(contrastive, "_NARROW_TILE", 400)
    anchors, shares, vectors = (torch.randn(*shape, dtype=torch.float64) for shape in ((30, 6), (40, 2), (2, 6)))
    ids, positives = batch_ids(50, 30), batch_ids(50, 40, 1)

    def written_out(x: Tensor, h: Tensor, y: Tensor) -> Tensor:
        return info_nce_against(x, ids, h @ y, positives, temperature, "sum")

    def by_shares(x: Tensor, h: Tensor, y: Tensor) -> Tensor:
        units = h / (h @ y).norm(dim=1, keepdim=True)
        return info_nce_against(normalize(x) @ y.t(), ids, units, positives, temperature, "sum", are_units=True)

    expected = value_and_gradients(written_out, anchors, shares, vectors)
    for found, value in zip(value_and_gradients(by_shares, anchors, shares, vectors), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-9, atol=1e-9)


def test_a_constant_table_gives_the_anchors_the_same_gradient():
    anchors, table, ids = torch.randn(10, 4), torch.randn(30, 4), torch.arange(10)
    both = value_and_gradients(lambda a, b: info_nce_against(a, ids, b, ids, 0.2), anchors, table)
    alone = value_and_gradients(lambda a: info_nce_against(a, ids, table, ids, 0.2), anchors)
    assert all(torch.equal(a, b) for a, b in zip(alone, both[:2], strict=True))


def test_gradients_match_finite_differences():
    x, y = (torch.randn(7, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    ids = torch.tensor([0, 6, 6, 2, 0, 6])
    assert gradcheck(lambda a, b: info_nce_rows(a, b, ids, 0.3), (x, y))
    assert gradcheck(lambda a, b: info_nce(a, b, 0.01), (x, y))
    assert gradcheck(lambda a, b: info_nce_against(a, ids, b, ids.flip(0), 0.3, "sum"), (x, y))


@pytest.mark.parametrize("loss", [lambda x, y: info_nce(x, y, 0.2), cosine_alignment])
def test_a_row_of_zeros_points_nowhere_and_gets_no_gradient(loss):
    x, y = torch.randn(4, 3), torch.randn(4, 3)
    x[1], y[2] = 0.0, 0.0
    value, for_x, for_y = value_and_gradients(loss, x, y)
    assert value.isfinite()
    assert not for_x[1].any()
    assert not for_y[2].any()
    assert max(for_x.abs().max(), for_y.abs().max()) < 100


def test_two_calls_give_the_same_bytes():
    x, y, ids = torch.randn(100, 8), torch.randn(100, 8), batch_ids(500, 100)
    first = value_and_gradients(lambda a, b: info_nce_rows(a, b, ids, 0.2), x, y)
    second = value_and_gradients(lambda a, b: info_nce_rows(a, b, ids, 0.2), x, y)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_alignment_terms_equal_those_of_the_authors_code(goldens, dtype, tolerance):
    about = json.loads((goldens / "alignrec.json").read_text())["losses"]
    t = load_file(goldens / "alignrec.safetensors")
    users, positives = t["batch/users"], t["batch/pos"]
    content, behaviour = (t[f"inter/{n}"].to(dtype) for n in ("side_embeds", "content_embeds"))
    n_users = len(t["repr/user"])
    by_item = info_nce_rows(content[n_users:], behaviour[n_users:], positives, 0.2)
    by_user = info_nce_rows(content[:n_users], behaviour[:n_users], users, 0.2)
    uia = cosine_alignment(t["repr/user"][users].to(dtype), t["repr/item"][positives].to(dtype))
    assert by_item.item() == pytest.approx(about["loss/nce_item"], abs=tolerance)
    assert by_user.item() == pytest.approx(about["loss/nce_user"], abs=tolerance)
    assert uia.item() == pytest.approx(about["loss/ui_cosine"], abs=tolerance)


def test_cosine_alignment_is_zero_for_parallel_and_two_for_opposite_vectors():
    x = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    assert cosine_alignment(x, 5 * x).item() == pytest.approx(0.0, abs=1e-6)
    assert cosine_alignment(x, -x).item() == pytest.approx(2.0)


def test_alignment_of_rows_is_that_of_the_gathered_rows_with_its_gradient():
    x, y = torch.randn(20, 5, dtype=torch.float64), torch.randn(30, 5, dtype=torch.float64)
    ids_x, ids_y = batch_ids(60, 19), batch_ids(60, 29, seed=1)  # many twice, the last rows never
    x[ids_x[0]] = 0  # parallel to nothing, pulled nowhere
    plain = value_and_gradients(lambda a, b: cosine_alignment(a[ids_x], b[ids_y]), x, y)
    rows = value_and_gradients(lambda a, b: cosine_alignment_rows(a, b, ids_x, ids_y), x, y)
    torch.testing.assert_close(rows, plain, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: info_nce(torch.ones(3, 2), torch.ones(4, 2), 0.2), "one shape"),
        (lambda: info_nce(torch.ones(3, 2), torch.ones(3, 2), 0.0), "temperature"),
        (lambda: info_nce_rows(torch.ones(3, 2), torch.ones(3, 2), torch.tensor([], dtype=torch.long), 0.2), "one id"),
        (lambda: info_nce_against(torch.ones(3, 2), IDS, torch.ones(5, 4), IDS, 0.2), "one width, not"),
        (lambda: info_nce_against(torch.ones(3, 2), IDS, torch.ones(5, 2), IDS[:2], 0.2), "not 2 with 3"),
        (lambda: info_nce_against(torch.ones(3, 2), IDS, torch.ones(5, 2), IDS, -1.0), "temperature"),
    ],
)
def test_what_cannot_be_aligned_is_refused_in_words(call, words):
    with pytest.raises(UsageError, match=words):
        call()
