"""The one dense product: float32 through the library that is fast on this processor.

PyTorch's x86 builds multiply through MKL, which takes a slow path on processors that are not Intel's; oneDNN, in the
same builds, is about 2.4 times faster there (AMD Zen 5, one thread: 245 against 100 GFLOP/s) with the same error. On
Intel the two are equal within a few percent and MKL is a little ahead, so it stays, but for one shape: projecting
wide features to a narrow embedding, (7,050 x 768) (768 x 64), where oneDNN is 1.4 to 1.7 times faster. Callers say
that they project, as oneDNN makes and keeps code for every shape it meets: for products over the distinct rows of a
batch, which has another shape at every step, that is slower than MKL and takes memory that grows for many steps. The
gradient of the weight in such a projection is made as (Gᵀ A)ᵀ, the small matrix on the left: up to 1.6 times as fast
as Aᵀ G. Where the rows of A begin a multiple of 4 KB apart (features 1024, 2048, 4096 wide), they compete for the
same places in the cache, and MKL falls to about half its speed in that gradient: there it is summed over 64 rows at a
time.

The choice looks at the processor's maker and the shape, not at a stopwatch: two runs on one machine must give the same
bytes, and a race between two libraries ends differently on a busy day. No global switch of PyTorch is touched
(`torch.set_float32_matmul_precision` would also move other people's products, and to bfloat16 where there is AMX).
"""

import functools
import platform
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

__all__ = [
    "PackedRows",
    "add_matmul",
    "has_bfloat16_tiles",
    "matmul",
    "outer_sum",
    "project",
    "right_side",
    "uses_onednn",
]

_SLOW_IN_MKL = ("AuthenticAMD", "HygonGenuine")
_PAGE = 4096  # bytes; rows this far apart share their places in the first caches
_ROWS_AT_ONCE = 64  # as many of them still fit; 128 do not on every processor


def matmul(a: Tensor, b: Tensor, buffer: Tensor | None = None) -> Tensor:
    """A @ b for matrices (m, k) and (k, n), differentiable in both.

    Anything but float32 on the CPU goes to `torch.mm`. Where no gradient is recorded, the product may be written into
    `buffer` (m, n), which a loop over tiles passes again and again: a tile that is allocated anew lies elsewhere in
    memory than the one before it, and the two push each other out of the cache.
    """
    if buffer is not None and not uses_onednn():
        return torch.mm(a, b, out=buffer)
    return _product(a, b, projects=False)


def right_side(b: Tensor) -> Tensor:
    """B (k, n) as `matmul` reads a right side fastest, for one that many small products share."""
    return b.t().contiguous().t() if uses_onednn() else b.contiguous()


def add_matmul(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add A @ b to `total` (m, n) in place, where no gradient is recorded."""
    if uses_onednn():
        total += matmul(a, b)
    else:
        total.addmm_(a, b)


def project(features: Tensor, weight: Tensor) -> Tensor:
    """F Wᵀ for wide features F (n, D) and a weight W (d, D), differentiable in both.

    The same as `matmul`, for calls whose shapes are the same at every step, or nearly.
    """
    return _product(features, weight.t(), projects=True)


def outer_sum(narrow: Tensor, wide: Tensor) -> Tensor:
    """Σ_r narrow[r] ⊗ wide[r], that is GᵀA for G (m, n) and A (m, k): (n, k), where n is the smaller by far."""
    rows_collide = wide.is_contiguous() and wide.shape[1] * wide.element_size() % _PAGE == 0
    if uses_onednn() or not rows_collide or torch.is_grad_enabled():
        return matmul(narrow.t(), wide)
    total = wide.new_zeros(narrow.shape[1], wide.shape[1])
    for start in range(0, len(wide), _ROWS_AT_ONCE):
        stop = start + _ROWS_AT_ONCE
        total.addmm_(narrow[start:stop].t(), wide[start:stop])
    return total


class PackedRows:
    """Rows (n, k) of bfloat16 as the right side of many products: oneDNN arranges them once, not at every call."""

    def __init__(self, rows: Tensor, height: int) -> None:
        """Pack `rows`, for left sides of about `height` rows; they may be given back afterwards."""
        self.shape = rows.shape
        try:
            self._packed, self._rows = torch.ops.mkldnn._reorder_linear_weight(rows, height), None
        except (AttributeError, RuntimeError):  # a private name, and not for every processor
            self._packed, self._rows = None, rows

    def products(self, a: Tensor) -> Tensor:
        """A times the rows transposed, in bfloat16, for A (m, k) of bfloat16: (m, n)."""
        if self._rows is not None:
            return torch.mm(a, self._rows.t())
        return cast(Tensor, torch.ops.mkldnn._linear_pointwise(a, self._packed, None, "none", [], ""))


def _product(a: Tensor, b: Tensor, projects: bool) -> Tensor:
    fits = a.dtype is b.dtype is torch.float32 and a.device.type == "cpu" and a.numel() > 0 and b.numel() > 0
    if fits and not torch.is_grad_enabled():
        return _multiply(a, b, projects)
    if fits:
        return cast(Tensor, _Product.apply(a, b, projects))  # type: ignore[no-untyped-call]
    return torch.mm(a, b)


@functools.cache
def uses_onednn() -> bool:
    """Whether float32 products on this processor go through oneDNN: MKL is the default there, and slow."""
    return (
        _processor_maker() in _SLOW_IN_MKL
        and torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and _onednn_works()
    )


@functools.cache
def has_bfloat16_tiles() -> bool:
    """Whether this processor multiplies tiles of bfloat16 (AMX), several times as fast as float32."""
    return "amx_bf16" in (_of_processor("flags") or "").split()


def _processor_maker() -> str:
    maker = _of_processor("vendor_id")
    return platform.processor().rpartition(" ")[2] if maker is None else maker  # where Windows writes it


def _of_processor(key: str) -> str | None:
    """What Linux says of the first processor; None elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


@functools.cache
def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available()) and _onednn_works()  # type: ignore[no-untyped-call]


def _narrows(a: Tensor, b: Tensor) -> bool:
    """Whether many long rows are projected to few columns."""
    return len(a) >= 1024 and b.shape[0] >= 256 and b.shape[1] <= 128 and a.is_contiguous()


def _multiply(a: Tensor, b: Tensor, projects: bool) -> Tensor:
    if uses_onednn() or (projects and _narrows(a, b) and _has_onednn()):
        return _onednn(a, b)
    return torch.mm(a, b)


def _onednn_works() -> bool:
    """The operator has a private name: check that this build has it and that it multiplies."""
    a, b = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(3, 4)
    try:
        return bool(torch.equal(_onednn(a, b), torch.mm(a, b)))
    except (AttributeError, RuntimeError):
        return False


def _onednn(a: Tensor, b: Tensor) -> Tensor:
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], ""))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, a: Tensor, b: Tensor, projects: bool) -> Tensor:
        ctx.save_for_backward(a, b)
        return _multiply(a, b, projects)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # Any: torch types no ctx
        a, b = ctx.saved_tensors
        for_a = matmul(gradient, b.t()) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return for_a, None, None
        # both libraries are slower with a transposed left side, oneDNN copies it: let that be the smaller of the two
        smaller_left = a.numel() > gradient.numel()
        for_b = outer_sum(gradient, a).t() if smaller_left else matmul(a.t(), gradient)
        return for_a, for_b, None
