"""Losses that align two views of the same thing: InfoNCE and cosine alignment.

InfoNCE (van den Oord et al. 2018) as AlignRec's CCA uses it (eq. 10): one direction, both sides of unit length, the
other rows of the batch as negatives. A user or item that occurs twice in the batch is its own false negative; that
is kept, and it makes the loss cheap: equal rows are computed once and counted as often as they occur. With a_i and
c_j the counts of the distinct rows x_i and y_j, s_ij = cos(x_i, y_j) / temperature and pairs b of rows (i_b, j_b),

    L = [ Σ_i a_i log Σ_j c_j exp(s_ij) − Σ_b s_{i_b j_b} ] / B

Where the candidates are a whole table, as in SGL, NCL and LGMRec, each of its rows counts once: c_j = 1.

The gradient is computed in the forward pass, one tile of rows at a time: no B x B matrix is ever stored.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.functional import cosine_similarity

from alignrec.errors import UsageError
from alignrec.ops import SMALLEST_NORM, add_matmul, matmul, right_side, without_zero_rows

__all__ = ["cosine_alignment", "cosine_alignment_rows", "info_nce", "info_nce_against", "info_nce_rows"]

_TILE_ROWS = 128  # a tile of scores, 128 x 2048 float32, is 1 MB; 64 to 512 are nearly equally fast
_LONG_TABLE, _LONG_TILE = 4096, 1 << 21  # of more candidates a tile has 32 to 128 rows, by what 8 MB hold
_NARROW, _NARROW_TILE = 16, 3 << 17  # passes over a tile cost more than products this low: 1.5 MB stay nearer
_LARGEST_EXPONENT = 40.0  # exp(±40) and sums of many such stay far inside float32; beyond it rows are shifted


def info_nce(
    x: Tensor, y: Tensor, temperature: float, groups_x: Tensor | None = None, groups_y: Tensor | None = None
) -> Tensor:
    """−mean_b log softmax_b'(cos(x_b, y_b') / temperature) taken at b' = b.

    Args:
        x: (B, d) anchors.
        y: (B, d) row b is the positive of anchor b, every row is a candidate.
        temperature: divides the cosines.
        groups_x: (B,) integers such as user ids; rows with the same number must be equal, and are computed once.
            The gradient of a group arrives at its first row; the table the rows were taken from sees the same sum.
        groups_y: the same for `y`.

    Raises:
        UsageError: the two sides do not pair up, or the temperature is not positive.
    """
    if x.shape != y.shape or x.dim() != 2 or len(x) == 0:
        raise UsageError(f"InfoNCE pairs two tables of one shape (B, d), not {tuple(x.shape)} with {tuple(y.shape)}")
    _check_temperature(temperature)
    distinct_x, rows_x = _first_of_groups(x, groups_x)
    distinct_y, rows_y = _first_of_groups(y, groups_y)
    return _apply(distinct_x, distinct_y, _Pairs(rows_x, rows_y, 1.0 / temperature))


def info_nce_rows(table_x: Tensor, table_y: Tensor, ids: Tensor, temperature: float) -> Tensor:
    """`info_nce(table_x[ids], table_y[ids], temperature)` without ever gathering a row twice.

    Args:
        table_x: (N, d) anchors.
        table_y: (N, d) candidates.
        ids: (B,) int64 row numbers, with duplicates.
        temperature: divides the cosines.

    Raises:
        UsageError: the tables differ in shape, `ids` is empty, or the temperature is not positive.
    """
    if table_x.shape != table_y.shape or table_x.dim() != 2 or ids.numel() == 0:
        raise UsageError(
            f"InfoNCE needs two tables of one shape and at least one id, "
            f"not {tuple(table_x.shape)}, {tuple(table_y.shape)} and {ids.numel()} ids"
        )
    _check_temperature(temperature)
    distinct, rows = torch.unique(ids, return_inverse=True)
    x, y = table_x.index_select(0, distinct), table_y.index_select(0, distinct)
    return _apply(x, y, _Pairs(rows, rows, 1.0 / temperature))


def info_nce_against(
    anchors: Tensor,
    anchor_ids: Tensor,
    candidates: Tensor,
    candidate_ids: Tensor,
    temperature: float,
    reduction: Literal["mean", "sum"] = "mean",
    *,
    are_units: bool = False,
) -> Tensor:
    """−log softmax_n(cos(x_b, y_n) / temperature) at y_n = the positive of anchor b: every row of a table competes.

    Memory is O(tile): the scores of B anchors with N candidates never exist at once. A table of candidates that wants
    no gradient costs a third less.

    Args:
        anchors: (M, d).
        anchor_ids: (B,) int64; row anchor_ids[b] of `anchors` is x_b. A row that occurs often is computed once.
        candidates: (N, d).
        candidate_ids: (B,) int64; row candidate_ids[b] of `candidates` is the positive of x_b.
        temperature: divides the cosines.
        reduction: over b.
        are_units: the caller's promise that dot products of the two tables' rows are the cosines, so that no row is
            scaled here. Candidates that are few vectors in other proportions, y_n = h_n V, need no table of their
            own: with unit anchors x, these are the products of x Vᵀ (M, H) and h_n / ‖y_n‖ (N, H).

    Raises:
        UsageError: the tables differ in width, the ids do not pair up, or the temperature is not positive.
    """
    if anchors.shape[1:] != candidates.shape[1:] or anchors.dim() != 2:
        raise UsageError(
            f"InfoNCE needs two tables of one width, not {tuple(anchors.shape)} and {tuple(candidates.shape)}"
        )
    if anchor_ids.shape != candidate_ids.shape or anchor_ids.numel() == 0:
        raise UsageError(
            f"InfoNCE pairs one candidate with each of at least one anchor, "
            f"not {candidate_ids.numel()} with {anchor_ids.numel()}"
        )
    _check_temperature(temperature)
    distinct, rows = torch.unique(anchor_ids, return_inverse=True)
    pairs = _Pairs(rows, candidate_ids, 1.0 / temperature, True, reduction == "mean", are_units)
    return _apply(anchors.index_select(0, distinct), candidates, pairs)


def cosine_alignment(x: Tensor, y: Tensor) -> Tensor:
    """1 − mean_b cos(x_b, y_b) for x, y (B, d): AlignRec's UIA (eq. 12). Both sides receive a gradient."""
    cosines = cosine_similarity(without_zero_rows(x), without_zero_rows(y), dim=1, eps=SMALLEST_NORM)
    return 1.0 - cosines.mean()


def cosine_alignment_rows(table_x: Tensor, table_y: Tensor, ids_x: Tensor, ids_y: Tensor) -> Tensor:
    """`cosine_alignment(table_x[ids_x], table_y[ids_y])`, where a row is scaled once however many pairs have it.

    Not differentiable twice.

    Args:
        table_x: (M, d), of little more than the rows that are read.
        table_y: (N, d), likewise.
        ids_x: (B,) int64 row numbers.
        ids_y: (B,) int64 row numbers, of the partners.
    """
    return cast(Tensor, _Cosines.apply(table_x, table_y, ids_x, ids_y))  # type: ignore[no-untyped-call]


class _Cosines(torch.autograd.Function):
    """1 − the mean cosine of the pairs; its gradient is ready when the value is."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, y: Tensor, ids_x: Tensor, ids_y: Tensor) -> Tensor:
        (unit_x, norm_x), (unit_y, norm_y) = _unit(x), _unit(y)
        rows_x, rows_y = unit_x.index_select(0, ids_x), unit_y.index_select(0, ids_y)
        share = -1.0 / len(ids_x)
        for_x = torch.zeros_like(x).index_add_(0, ids_x, rows_y, alpha=share)
        for_y = torch.zeros_like(y).index_add_(0, ids_y, rows_x, alpha=share)
        ctx.save_for_backward(_through_unit(for_x, unit_x, norm_x), _through_unit(for_y, unit_y, norm_y))
        return 1.0 + share * torch.dot(rows_x.view(-1), rows_y.view(-1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:  # Any: torch types no ctx attributes
        for_x, for_y = ctx.saved_tensors
        return for_x * gradient, for_y * gradient, None, None


@dataclass(frozen=True)
class _Pairs:
    """Which distinct rows the B pairs are made of, 1 / temperature, and who competes."""

    rows_x: Tensor  # (B,) int64
    rows_y: Tensor  # (B,) int64
    sharpness: float
    every_candidate: bool = False  # each row of y counts once, instead of as often as it is in a pair
    mean: bool = True
    are_units: bool = False  # rows are taken as they are

    def candidate_counts(self, y: Tensor) -> Tensor:
        """How often each row of y (n, d) is in a denominator: (n,)."""
        if self.every_candidate:
            return y.new_ones(len(y))
        return torch.bincount(self.rows_y, minlength=len(y)).to(y.dtype)


def _check_temperature(temperature: float) -> None:
    if not (math.isfinite(temperature) and temperature > 0):
        raise UsageError(f"temperature must be a positive number, not {temperature}; the papers use 0.2")


def _first_of_groups(table: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
    """One row per group (m, d), and for each of the B rows the number of its group."""
    positions = torch.arange(len(table), device=table.device)
    if groups is None:
        return table, positions
    values, inverse = torch.unique(groups, return_inverse=True)
    first = positions.new_full((len(values),), len(table)).scatter_reduce_(0, inverse, positions, "amin")
    return table.index_select(0, first), inverse


def _apply(x: Tensor, y: Tensor, pairs: _Pairs) -> Tensor:
    return cast(Tensor, _InfoNce.apply(x, y, pairs))  # type: ignore[no-untyped-call]


class _InfoNce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, pairs: _Pairs) -> Tensor:  # Any: torch types no ctx attributes
        wants_y = ctx.needs_input_grad[1]
        if pairs.are_units:
            loss, gradient_x, gradient_y = _value_and_gradients(x, y, pairs, wants_y)
            ctx.save_for_backward(gradient_x, gradient_y)
            return loss
        unit_x, norm_x = _unit(x)
        unit_y, norm_y = _unit(y)
        loss, gradient_x, gradient_y = _value_and_gradients(unit_x, unit_y, pairs, wants_y)
        for_y = None if gradient_y is None else _through_unit(gradient_y, unit_y, norm_y)
        ctx.save_for_backward(_through_unit(gradient_x, unit_x, norm_x), for_y)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:  # Any: as above
        for_x, for_y = ctx.saved_tensors
        return for_x * gradient, None if for_y is None else for_y * gradient, None


def _unit(table: Tensor) -> tuple[Tensor, Tensor]:
    norm = torch.linalg.vector_norm(table, dim=1, keepdim=True).clamp_min_(SMALLEST_NORM)  # (m, 1)
    return table / norm, norm


def _through_unit(gradient: Tensor, unit: Tensor, norm: Tensor) -> Tensor:
    """Gradient in a row from that in the unit row: the part along the row is lost; a row of zeros gets none."""
    along = (gradient * unit).sum(dim=1, keepdim=True)  # (m, 1)
    return gradient.addcmul_(along, unit, value=-1.0).div_(norm.masked_fill(norm <= SMALLEST_NORM, torch.inf))


def _value_and_gradients(x: Tensor, y: Tensor, pairs: _Pairs, wants_y: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Loss, and its gradients in the unit rows x (m, d) and y (n, d), summed over the copies of a row."""
    sharpness, scale = pairs.sharpness, 1.0 / len(pairs.rows_x) if pairs.mean else 1.0
    counts_x = torch.bincount(pairs.rows_x, minlength=len(x)).to(x.dtype)  # (m,)
    counts_y = pairs.candidate_counts(y)  # (n,)
    logs, gradient_x, columns_y = _over_tiles(x, y, counts_x, counts_y, sharpness, wants_y)
    positive_x, positive_y = x.index_select(0, pairs.rows_x), y.index_select(0, pairs.rows_y)  # (B, d)
    total = torch.dot(counts_x.double(), logs.double()) - sharpness * (positive_x * positive_y).sum(dtype=torch.float64)
    gradient_x.index_add_(0, pairs.rows_x, positive_y, alpha=-1.0).mul_(sharpness * scale)
    loss = (total * scale).to(x.dtype)
    if columns_y is None:
        return loss, gradient_x, None
    gradient_y = columns_y.t() * counts_y[:, None]  # (n, d): a candidate counts as often as it occurs
    return loss, gradient_x, gradient_y.index_add_(0, pairs.rows_y, positive_x, alpha=-1.0).mul_(sharpness * scale)


def _over_tiles(
    x: Tensor, y: Tensor, counts_x: Tensor, counts_y: Tensor, sharpness: float, wants_y: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The logarithms l_i = log Σ_j c_j exp(s_ij) (m,), and ∂ Σ_i a_i l_i / ∂s · y and · x: (m, d), (d, n).

    The last wants the factor c_j, as the gradient in y_j.
    """
    sharp_x, columns_x = x * sharpness, x.t().contiguous()
    columns, candidates = right_side(y.t()), _Candidates(y, counts_y)  # (d, n)
    logs, gradient_x = torch.empty_like(counts_x), torch.empty_like(x)
    columns_y = x.new_zeros(y.shape[1], len(y)) if wants_y else None
    step = _tile_rows(y)
    buffer = x.new_empty(min(step, len(x)), len(y))
    for start in range(0, len(x), step):
        tile = slice(start, start + step)
        scores = matmul(sharp_x[tile], columns, buffer[: len(x) - start])  # (t, n)
        shift = scores.amax(dim=1, keepdim=True) if sharpness > _LARGEST_EXPONENT else None
        weights = (scores if shift is None else scores.sub_(shift)).exp_()
        vectors, sums = candidates.weighed(weights)
        share = counts_x[tile] / sums  # (t,): softmax rows are weights / sums; dividing what is small spares a pass
        torch.mul(vectors, share[:, None], out=gradient_x[tile])
        logs[tile] = sums.log() if shift is None else sums.log() + shift[:, 0]
        if columns_y is not None:
            add_matmul(columns_y, columns_x[:, tile] * share, weights)
    return logs, gradient_x, columns_y


class _Candidates:
    """The rows y (n, d), each as often as it counts, laid out for sums by weight."""

    def __init__(self, y: Tensor, counts: Tensor) -> None:
        self._counts, counted = counts, y * counts[:, None]
        self._is_narrow = y.shape[1] <= _NARROW
        joined = torch.cat([counted, counts[:, None]], dim=1) if self._is_narrow else counted
        self._side = joined.t().contiguous() if self._is_narrow else right_side(joined)

    def weighed(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of the rows by `weights` (t, n), (t, d), and of the weights themselves, (t,)."""
        if not self._is_narrow:
            return matmul(weights, self._side), torch.mv(weights, self._counts)
        summed = matmul(self._side, weights.t()).t()  # (t, d + 1): no second pass over the weights
        return summed[:, :-1], summed[:, -1]


def _tile_rows(candidates: Tensor) -> int:
    if len(candidates) <= _LONG_TABLE:
        return _TILE_ROWS
    if candidates.shape[1] <= _NARROW:
        return max(8, min(_TILE_ROWS, _NARROW_TILE // len(candidates)))
    return max(32, min(_TILE_ROWS, _LONG_TILE // len(candidates)))
