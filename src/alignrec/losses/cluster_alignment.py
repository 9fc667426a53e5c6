"""Cluster-level alignment: two views of one thing should belong to the same prototypes (FETTLE, SIGIR 2024, sec. 3.3).

The views are rows x^m of unit length, C a codebook of P prototypes, z^m = x^m Cᵀ. The code q^m of a row is its share
in every prototype, made even over prototypes by Sinkhorn's iterations on exp(z / ε) (Cuturi 2013; as in SwAV, Caron et
al. 2020), and a constant. Each view predicts the codes of the others, over the batch's B rows and M views:

    L = −1 / (M (M−1) B) · Σ_b Σ_{m≠n} q_b^n · log softmax(z_b^m / θ)

Three facts make it cheap. A code sums to 1, so that q · log softmax(z/θ) = (q C) · x / θ − log Σ exp(z/θ), where q C is
a short vector. Sinkhorn only scales the rows and columns of K = exp(z / ε), so that q = diag(v) K diag(u) never has to
be formed: q C = diag(v) K (diag(u) C). And equal rows have equal codes: a row that occurs c times is computed once and
weighs c. One matrix (rows, P) is alive at a time; gradients come out of the forward pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from alignrec.errors import UsageError
from alignrec.ops import matmul

__all__ = ["Sinkhorn", "sinkhorn_codes", "swapped_prediction"]

# 16 MB of float32; smaller tiles add to the (d, P) sums more often, larger ones leave the cache
_TILE_NUMBERS = 1 << 22
_LARGEST_EXPONENT = 40.0  # exp(±40) and sums of many such stay far inside float32; beyond it rows are shifted


@dataclass(frozen=True)
class Sinkhorn:
    """How even codes are made."""

    temperature: float = 0.05
    """ε, divides the cosines; at least 0.025, so that exp(1/ε) and sums of many such fit into float32."""
    iterations: int = 3
    """Rounds of scaling, prototypes first."""

    def __post_init__(self) -> None:
        if self.temperature < 1.0 / _LARGEST_EXPONENT or self.iterations < 1:
            raise UsageError(
                f"Sinkhorn needs a temperature of at least {1.0 / _LARGEST_EXPONENT} and one iteration, "
                f"not {self.temperature} and {self.iterations}"
            )


def sinkhorn_codes(cosines: Tensor, sinkhorn: Sinkhorn, counts: Tensor | None = None) -> Tensor:
    """Shares (n, P) of every row in every prototype: rows sum to 1, prototypes are used about evenly.

    Args:
        cosines: z (n, P), within ±1.
        sinkhorn: see `Sinkhorn`.
        counts: (n,) how often each row occurs; once by default.
    """
    kernel = (cosines.detach() / sinkhorn.temperature).exp_()
    weights = torch.ones_like(kernel[:, 0]) if counts is None else counts.to(kernel.dtype)
    scales = _scales(kernel, weights, weights @ kernel, sinkhorn.iterations)
    return kernel.mul_(scales.prototypes).mul_(scales.rows[:, None])


def swapped_prediction(
    codebook: Tensor, temperature: Tensor, views: Sequence[Tensor], rows: Sequence[Tensor], sinkhorn: Sinkhorn
) -> Tensor:
    """L of the module's formula, differentiable in the codebook, the temperature and the views.

    Args:
        codebook: C (P, d), rows of unit length; the gradient is not taken through their normalisation.
        temperature: θ, a positive scalar tensor.
        views: M >= 2 tables (n_m, d) of distinct rows, of unit length.
        rows: for each view (B,) int64, the row that pair b has in it.
        sinkhorn: how codes are made.

    Raises:
        UsageError: fewer than two views, or not one list of B >= 1 rows for each.
    """
    sizes = {tuple(numbers.shape) for numbers in rows}
    if len(views) < 2 or len(views) != len(rows) or len(sizes) != 1 or rows[0].numel() == 0:
        raise UsageError(
            f"{len(views)} views with rows {sorted(sizes)} cannot predict each other; give two of one length"
        )
    loss = _SwappedPrediction.apply(codebook, temperature, tuple(rows), sinkhorn, *views)  # type: ignore[no-untyped-call]
    return cast(Tensor, loss)


class _Scales(NamedTuple):
    """u and v: the code is v_b K_bp u_p."""

    prototypes: Tensor  # (P,)
    rows: Tensor  # (n,)


class _Side(NamedTuple):
    """One view: its distinct rows, how often each occurs, and the sum of what its codes are held against."""

    x: Tensor  # (n, d)
    counts: Tensor  # (n,)
    partners: Tensor  # (n, d): Σ over the pairs of a row of Σ_{m≠n} x^m


class _Parts(NamedTuple):
    """What one view contributes."""

    logs: Tensor  # () float64: Σ_b log Σ exp(z / θ)
    soft: Tensor  # (n, d): softmax(z / θ) C
    coded: Tensor  # (n, d): q C
    from_soft: Tensor  # (d, P): Σ_b x_b softmax(z_b / θ)ᵀ
    from_codes: Tensor  # (d, P): Σ partners qᵀ


class _SwappedPrediction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        codebook: Tensor,
        temperature: Tensor,
        rows: tuple[Tensor, ...],
        sinkhorn: Sinkhorn,
        *views: Tensor,
    ) -> Tensor:
        sharpness, others, n_pairs = 1.0 / float(temperature), len(views) - 1, len(rows[0])
        scale = 1.0 / (len(views) * others * n_pairs)
        sides = _sides(views, rows)
        parts = [_view_parts(side, codebook, sharpness, sinkhorn) for side in sides]
        predicted = torch.stack([p.coded.index_select(0, r) for p, r in zip(parts, rows, strict=True)]).sum(0)  # (B, d)
        logs = torch.stack([part.logs for part in parts]).sum()
        matched = torch.stack([_dot(p.coded, s.partners) for p, s in zip(parts, sides, strict=True)]).sum()
        spread = torch.stack([_dot(p.soft, s.x * s.counts[:, None]) for p, s in zip(parts, sides, strict=True)]).sum()
        gradient = torch.zeros_like(codebook.t(), memory_format=torch.contiguous_format)  # (d, P)
        for part in parts:
            gradient.add_(part.from_soft, alpha=others * scale * sharpness).sub_(
                part.from_codes, alpha=scale * sharpness
            )
        gradients = []
        for part, side, numbers in zip(parts, sides, rows, strict=True):
            # per pair: what the other views' codes point to, this view's own taken off again
            targets = torch.zeros_like(side.x).index_add_(0, numbers, predicted)
            targets.addcmul_(part.coded, side.counts[:, None], value=-1.0)
            toward = part.soft * (others * side.counts[:, None]) - targets
            gradients.append(toward.mul_(scale * sharpness))
        by_temperature = scale * sharpness**2 * (matched - others * spread)
        ctx.save_for_backward(gradient.t(), by_temperature.to(temperature.dtype), *gradients)
        return (scale * (others * logs - sharpness * matched)).to(codebook.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # Any: torch types no ctx attributes
        codebook, temperature, *views = ctx.saved_tensors
        return codebook * gradient, temperature * gradient, None, None, *(view * gradient for view in views)


def _sides(views: Sequence[Tensor], rows: Sequence[Tensor]) -> list[_Side]:
    gathered = [view.index_select(0, numbers) for view, numbers in zip(views, rows, strict=True)]  # (B, d) each
    total = torch.stack(gathered).sum(0)
    sides = []
    for view, numbers, own in zip(views, rows, gathered, strict=True):
        counts = torch.bincount(numbers, minlength=len(view)).to(view.dtype)
        sides.append(_Side(view, counts, torch.zeros_like(view).index_add_(0, numbers, total - own)))
    return sides


def _view_parts(side: _Side, codebook: Tensor, sharpness: float, sinkhorn: Sinkhorn) -> _Parts:
    """Two passes over the rows: kernel and softmax, then, with Sinkhorn's scales known, the codes."""
    n_prototypes = len(codebook)
    columns = codebook.t()  # (d, P)
    kernel = side.x.new_empty(len(side.x), n_prototypes)
    soft, coded = torch.empty_like(side.x), torch.empty_like(side.x)
    from_soft, from_codes = torch.zeros_like(columns), torch.zeros_like(columns)
    mass = side.x.new_zeros(n_prototypes)
    logs = side.x.new_zeros((), dtype=torch.float64)
    for tile in _tiles(kernel):
        counts, x = side.counts[tile], side.x[tile]
        cosines = matmul(x, columns)  # (t, P)
        torch.exp(cosines * (1.0 / sinkhorn.temperature), out=kernel[tile])
        mass += counts @ kernel[tile]
        scores = cosines.mul_(sharpness)
        shift = scores.amax(dim=1) if sharpness > _LARGEST_EXPONENT else torch.zeros_like(counts)
        weights = (scores.sub_(shift[:, None]) if sharpness > _LARGEST_EXPONENT else scores).exp_()
        sums = weights.sum(dim=1)  # (t,)
        logs += torch.dot(counts, sums.log() + shift).double()
        soft[tile] = matmul(weights, codebook) / sums[:, None]
        from_soft += matmul((x * (counts / sums)[:, None]).t(), weights)
    scales = _scales(kernel, side.counts, mass, sinkhorn.iterations)
    scaled = codebook * scales.prototypes[:, None]
    for tile in _tiles(kernel):
        share = scales.rows[tile, None]  # (t, 1)
        coded[tile] = matmul(kernel[tile], scaled) * share
        from_codes += matmul((side.partners[tile] * share).t(), kernel[tile])
    return _Parts(logs, soft, coded, from_soft, from_codes.mul_(scales.prototypes))


def _scales(kernel: Tensor, counts: Tensor, mass: Tensor, iterations: int) -> _Scales:
    """Sinkhorn's u and v for K (n, P); `mass` is Σ_b c_b K_bp.

    The constants of the textbook form (P prototypes of equal mass, B rows) cancel in v K u.
    """
    rows = torch.empty_like(counts)
    for iteration in range(iterations):
        prototypes = 1.0 / mass
        mass = torch.zeros_like(mass)
        for tile in _tiles(kernel):
            rows[tile] = 1.0 / kernel[tile].mv(prototypes)
            if iteration + 1 < iterations:
                mass += (counts[tile] * rows[tile]) @ kernel[tile]
    return _Scales(prototypes, rows)


def _tiles(kernel: Tensor) -> list[slice]:
    step = max(1, _TILE_NUMBERS // kernel.shape[1])
    return [slice(start, start + step) for start in range(0, len(kernel), step)]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dtype=torch.float64)
