"""A loss that keeps distances: similarities among the learned vectors should be those among fixed features.

AlignRec's REG (Liu et al., CIKM 2024, eq. 11) in the form its authors' code computes, DREAM's L_S3 likewise:

    L = ‖ Z Zᵀ − C(F) ‖_F / B,    C(F) = cosines of the rows of F, constant

With unit rows F and both sides' rows counted c_i times, scaled by √c_i, the squared norm is that of a small matrix:

    ‖ZZᵀ − FFᵀ‖² = ‖ZᵀZ‖² − 2‖FᵀZ‖² + ‖FᵀF‖²,    gradient in Z: 4 (Z ZᵀZ − F FᵀZ)

which costs m D² instead of m² D for m distinct rows of D features. The three terms cancel where Z already fits F, so
there, and where D is not smaller than m, the pairs are computed one tile at a time instead.
"""

from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from alignrec.errors import UsageError
from alignrec.ops import SMALLEST_NORM, matmul, unit_rows

__all__ = ["similarity_regularizer", "similarity_regularizer_rows"]

_TILE = 128
_CANCELLED = 1e-3  # below this share of its parts, a difference in float32 has lost more than three digits

Form = Literal["dot", "cosine"]


def similarity_regularizer(embeddings: Tensor, targets: Tensor, form: Form = "dot") -> Tensor:
    """‖S(Z) − C(F)‖_F / B over all B x B pairs, the diagonal among them.

    Args:
        embeddings: Z (B, d).
        targets: F (B, D) features; scaled to unit rows here, and constant: no gradient flows into them.
        form: S(Z) = Z Zᵀ for `dot` (the authors' code, whose diagonal pulls ‖z‖ to 1), cosines for `cosine` (the
            paper).

    Raises:
        UsageError: the two tables have different numbers of rows, or none.
    """
    if embeddings.dim() != 2 or targets.dim() != 2 or len(embeddings) != len(targets) or len(targets) == 0:
        raise UsageError(
            f"the similarity regulariser compares tables (B, d) and (B, D), "
            f"not {tuple(embeddings.shape)} and {tuple(targets.shape)}"
        )
    return _loss(embeddings, targets, None, form, are_units=False)


def similarity_regularizer_rows(
    table: Tensor,
    targets: Tensor,
    ids: Tensor,
    form: Form = "dot",
    target_ids: Tensor | None = None,
    *,
    are_units: bool = False,
) -> Tensor:
    """`similarity_regularizer(table[ids], targets[ids], form)`, equal rows computed once.

    Args:
        table: (N, d) embeddings.
        targets: (N, D) features; or (M, D) with `target_ids`.
        ids: (B,) int64 row numbers of `table`, with duplicates.
        form: as above.
        target_ids: (N,) int64, whose features belong to each row of `table`; None: those of the same number.
        are_units: dot products of `targets` are the similarities to keep, and no row is scaled here.

    Raises:
        UsageError: the two tables do not have the same rows, or `ids` is empty.
    """
    n_targets = len(targets if target_ids is None else target_ids)
    if len(table) != n_targets or ids.numel() == 0:
        raise UsageError(
            f"the similarity regulariser needs tables with the same rows and at least one id, "
            f"not {len(table)} and {n_targets} rows and {ids.numel()} ids"
        )
    distinct, counts = torch.unique(ids, return_counts=True)
    target_rows = distinct if target_ids is None else target_ids.index_select(0, distinct)
    chosen = targets.detach().index_select(0, target_rows)
    return _loss(table.index_select(0, distinct), chosen, counts, form, are_units=are_units)


def _loss(embeddings: Tensor, targets: Tensor, counts: Tensor | None, form: Form, *, are_units: bool) -> Tensor:
    z = unit_rows(embeddings) if form == "cosine" else embeddings
    weights = None if counts is None else counts.to(z.dtype).sqrt_()[:, None]  # (m, 1)
    n_pairs = len(z) if counts is None else int(counts.sum())
    with torch.no_grad():
        f = targets.detach().to(z.dtype)
        scale = torch.ones_like(z[:, :1]) if weights is None else weights
        if not are_units:
            scale = scale / torch.linalg.vector_norm(f, dim=1, keepdim=True).clamp_min_(SMALLEST_NORM)
        f = f * scale  # unit rows times √count
    weighted = z if weights is None else z * weights
    return cast(Tensor, _Distance.apply(weighted, f, n_pairs))  # type: ignore[no-untyped-call]


class _Distance(torch.autograd.Function):
    """‖ZZᵀ − FFᵀ‖_F / n; the gradient in Z is ready when the value is."""

    @staticmethod
    def forward(ctx: FunctionCtx, z: Tensor, f: Tensor, n_pairs: int) -> Tensor:
        squared, half = _by_gram(z, f) if f.shape[1] < len(f) else _by_pairs(z, f)
        norm = squared.sqrt()
        # d‖M‖ = <M, dM> / ‖M‖ with M = ZZᵀ − FFᵀ and dM symmetric in dZ; where M = 0 the norm has its minimum
        scale = torch.where(norm > 0, 2.0 / (n_pairs * norm), torch.zeros_like(norm)).to(z.dtype)
        ctx.save_for_backward(half.mul_(scale))
        return (norm / n_pairs).to(z.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # Any: torch types no ctx attributes
        (saved,) = ctx.saved_tensors
        return saved * gradient, None, None


def _by_gram(z: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
    """‖M‖² (float64) and M Z through matrices of features by features."""
    own, cross = matmul(z.t(), z), matmul(z.t(), f)  # (d, d), (d, D)
    kept = _sum_of_squares(own) + _gram_norm(f)
    squared = kept - 2.0 * _sum_of_squares(cross)
    if float(squared) <= _CANCELLED * float(kept):
        return _by_pairs(z, f)
    return squared, matmul(z, own).sub_(matmul(f, cross.t()))


def _gram_norm(f: Tensor) -> Tensor:
    """‖FᵀF‖² from the blocks on and above the diagonal."""
    total = f.new_zeros((), dtype=torch.float64)
    for start in range(0, f.shape[1], _TILE):
        block = f[:, start : start + _TILE].t()
        total += _sum_of_squares(matmul(block, f[:, start : start + _TILE]))
        if start + _TILE < f.shape[1]:
            total += 2.0 * _sum_of_squares(matmul(block, f[:, start + _TILE :]))
    return total


def _by_pairs(z: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
    """The same from M itself, a block of rows at a time; M is symmetric, so a block starts at its own diagonal."""
    product = torch.zeros_like(z)
    total = z.new_zeros((), dtype=torch.float64)
    for start in range(0, len(z), _TILE):
        stop = start + _TILE
        difference = matmul(z[start:stop], z[start:].t()).sub_(matmul(f[start:stop], f[start:].t()))  # (t, m - start)
        product[start:stop] += matmul(difference, z[start:])
        total += _sum_of_squares(difference[:, :_TILE])
        if stop < len(z):
            beyond = difference[:, _TILE:]  # (t, m - stop)
            total += 2.0 * _sum_of_squares(beyond)
            product[stop:] += matmul(beyond.t(), z[start:stop])
    return total, product


def _sum_of_squares(matrix: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(matrix, dtype=torch.float64)
    return norm.square()
