from importlib import import_module

import pytest
import torch
from torch.autograd import gradcheck

from alignrec.ops import PackedRows, add_matmul, matmul, outer_sum, project, right_side

module = import_module("alignrec.ops.matmul")  # the package has a function of that name


@pytest.fixture(autouse=True)
def same_numbers_every_time():
    torch.manual_seed(0)


@pytest.fixture(params=["as this processor chooses", "onednn", "torch"])
def route(request, monkeypatch):
    if request.param == "onednn":
        if not module._onednn_works():
            pytest.skip("this build of torch has no oneDNN")
        monkeypatch.setattr(module, "uses_onednn", lambda: True)
    elif request.param == "torch":
        monkeypatch.setattr(module, "uses_onednn", lambda: False)
    return request.param


@pytest.mark.parametrize("shape", [(5, 3, 4), (1, 1, 1), (64, 200, 33), (4, 0, 3)])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True)])
def test_matmul_is_the_matrix_product_in_value_and_gradient(route, shape, transposed):
    m, k, n = shape
    a = (torch.randn(k, m).t() if transposed[0] else torch.randn(m, k)).requires_grad_()
    b = (torch.randn(n, k).t() if transposed[1] else torch.randn(k, n)).requires_grad_()
    weights = torch.randn(m, n)
    ours = torch.autograd.grad((matmul(a, b) * weights).sum(), (a, b))
    exact = (a.double() @ b.double()).float()
    torch.testing.assert_close(matmul(a, b), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours, torch.autograd.grad((exact * weights).sum(), (a, b)), rtol=1e-5, atol=1e-4)


def test_only_the_wanted_gradient_is_computed(route):
    a, b = torch.randn(3, 4), torch.randn(4, 2, requires_grad=True)
    matmul(a, b).sum().backward()
    torch.testing.assert_close(b.grad, a.sum(0)[:, None].expand(4, 2))


def test_float64_keeps_its_precision(route):
    a = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    b = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(matmul, (a, b))


def test_float32_is_not_rounded_to_a_shorter_type(route):
    a, b = torch.randn(64, 512), torch.randn(512, 64)
    exact = a.double() @ b.double()
    assert (matmul(a, b).double() - exact).abs().max() / exact.abs().max() < 1e-6


@pytest.mark.parametrize(("maker", "chosen"), [("AuthenticAMD", True), ("GenuineIntel", False), ("", False)])
def test_the_processors_maker_decides_and_not_a_stopwatch(monkeypatch, maker, chosen):
    if not (torch.backends.mkl.is_available() and module._onednn_works()):
        pytest.skip("this build of torch has only one library")
    monkeypatch.setattr(module, "_processor_maker", lambda: maker)
    module.uses_onednn.cache_clear()
    assert module.uses_onednn() is chosen
    module.uses_onednn.cache_clear()


def test_no_global_switch_is_touched(route):
    before = torch.get_float32_matmul_precision()
    matmul(torch.ones(2, 2), torch.ones(2, 2))
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize("lacks", [AttributeError, RuntimeError])
def test_a_build_of_torch_whose_onednn_cannot_be_called_multiplies_without_it(monkeypatch, lacks):
    def missing(a, b):
        raise lacks

    monkeypatch.setattr(module, "_onednn", missing)
    monkeypatch.setattr(module, "_processor_maker", lambda: "AuthenticAMD")
    module.uses_onednn.cache_clear()
    module._has_onednn.cache_clear()
    assert project(torch.ones(1024, 256), torch.ones(2, 256))[0].tolist() == [256, 256]
    module.uses_onednn.cache_clear()
    module._has_onednn.cache_clear()


@pytest.mark.skipif(not module._onednn_works(), reason="this build of torch has no oneDNN")
def test_a_projection_of_wide_features_is_the_same_product_and_goes_through_onednn(monkeypatch):
    monkeypatch.setattr(module, "uses_onednn", lambda: False)
    assert module._has_onednn()  # it tries once, before calls are counted
    calls = []
    whole = module._onednn
    monkeypatch.setattr(module, "_onednn", lambda a, b: calls.append(tuple(a.shape)) or whole(a, b))
    features, weight = torch.randn(1200, 300, requires_grad=True), torch.randn(16, 300, requires_grad=True)
    out = project(features, weight)
    assert calls == [(1200, 300)]
    exact = features.double() @ weight.double().t()
    torch.testing.assert_close(out, exact.float(), rtol=1e-4, atol=1e-4)
    ours = torch.autograd.grad(out.square().sum(), (features, weight))
    theirs = torch.autograd.grad(exact.square().sum(), (features, weight))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-2)
    project(features[:1000], weight)
    assert calls == [(1200, 300)], "few rows stay where they were"
    matmul(features, weight.t()).sum().backward()
    assert calls == [(1200, 300)], "only who projects asks for it: oneDNN keeps code for every shape it meets"


@pytest.mark.parametrize("columns", [1024, 1000])  # rows a page apart, and not
@pytest.mark.parametrize("rows", [300, 256])
def test_the_gradient_of_a_narrow_weight_sums_over_all_rows_of_a_wide_table(route, columns, rows):
    table, weight = torch.randn(rows, columns), torch.randn(3, columns, requires_grad=True)
    factors = torch.randn(rows, 3)
    (matmul(table, weight.t()) * factors).sum().backward()
    exact = (factors.double().t() @ table.double()).float()
    torch.testing.assert_close(weight.grad, exact, rtol=1e-5, atol=1e-4)


def test_that_gradient_can_be_differentiated_again():
    table, weight = torch.randn(3, 1024, requires_grad=True), torch.randn(2, 1024, requires_grad=True)
    (first,) = torch.autograd.grad(matmul(table, weight.t()).square().sum() / 2, weight, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), table)
    ones = torch.ones(2, 1024)
    # first = (T Wᵀ)ᵀ T, whose sum has the gradient (T 1ᵀ) W + (T Wᵀ) 1 in T
    expected = table @ ones.t() @ weight + table @ weight.t() @ ones
    torch.testing.assert_close(second, expected, rtol=1e-4, atol=1e-2)


def test_a_product_into_a_buffer_and_onto_a_sum_are_the_same_product(route):
    a, b, total = torch.randn(5, 3), torch.randn(3, 4), torch.randn(5, 4)
    expected, buffer, before = a @ b, torch.empty(9, 4), total.clone()
    with torch.no_grad():
        torch.testing.assert_close(matmul(a, b, buffer[:5]), expected)
        add_matmul(total, a, b)
    torch.testing.assert_close(total, before + expected)


def test_where_products_may_go_into_a_buffer_they_do(monkeypatch):
    monkeypatch.setattr(module, "uses_onednn", lambda: False)
    buffer = torch.empty(2, 2)
    assert matmul(torch.ones(2, 3), torch.ones(3, 2), buffer) is buffer
    assert buffer.tolist() == [[3, 3], [3, 3]]


@pytest.mark.parametrize("columns", [1024, 7])
def test_the_sum_of_outer_products(route, columns):
    narrow, wide = torch.randn(130, 3), torch.randn(130, columns)
    with torch.no_grad():
        found = outer_sum(narrow, wide)
    torch.testing.assert_close(found, (narrow.double().t() @ wide.double()).float(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("flags", "has"), [("fpu amx_bf16 amx_tile", True), ("fpu avx512_bf16", False), (None, False)])
def test_tiles_of_bfloat16_are_read_off_the_processors_flags(monkeypatch, flags, has):
    monkeypatch.setattr(module, "_of_processor", lambda key: flags if key == "flags" else None)
    module.has_bfloat16_tiles.cache_clear()
    assert module.has_bfloat16_tiles() is has
    module.has_bfloat16_tiles.cache_clear()


def test_a_right_side_is_the_same_matrix_laid_out_anew(route):
    b = torch.randn(6, 4).t()
    laid_out = right_side(b)
    assert torch.equal(laid_out, b)
    torch.testing.assert_close(matmul(torch.randn(3, 4).fill_(2.0), laid_out), torch.full((3, 4), 2.0) @ b)


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("n", [16, 37])
def test_packed_rows_multiply_like_the_rows_whether_or_not_they_can_be_packed(packs, n, monkeypatch):
    if not packs:

        def missing(*_):
            raise RuntimeError("not for this processor")

        monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", missing)
    rows = torch.randn(n, 40).bfloat16()
    packed = PackedRows(rows, height=8)
    for height in (8, 3):  # the one it was packed for, and a last, smaller block
        a = torch.randn(height, 40).bfloat16()
        found = packed.products(a)
        assert found.dtype is torch.bfloat16
        torch.testing.assert_close(found.float(), a.float() @ rows.float().t(), rtol=2**-8, atol=1e-5)
