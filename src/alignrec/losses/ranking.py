"""Losses that rank: a user's taken item above one not taken, and what keeps the vectors small.

BPR: Rendle et al., Bayesian Personalized Ranking from Implicit Feedback, UAI 2009.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.functional import logsigmoid

from alignrec.types import Batch, Embeddings

__all__ = ["bpr_loss", "bpr_loss_rows", "embedding_norm", "embedding_norm_rows", "squared_norm", "squared_norm_rows"]


def bpr_loss(positive_scores: Tensor, negative_scores: Tensor, *, epsilon: float = 0.0) -> Tensor:
    """−mean log σ(x) of the score differences x (B,), or −mean log(ε + σ(x)).

    Args:
        positive_scores: (B,) scores of taken items.
        negative_scores: (B,) scores of items not taken.
        epsilon: 0 for AlignRec, MGCN, FREEDOM; 1e-10 is the form of the BPR and LightGCN baselines, whose gradient
            dies out once x falls under about −23.
    """
    return _bpr(positive_scores - negative_scores, epsilon)


def bpr_loss_rows(tables: Embeddings, batch: Batch, *, epsilon: float = 0.0) -> Tensor:
    """`bpr_loss` of the dot products of a batch's rows of `tables`.

    As s_ui − s_uj = u · (i − j), a step multiplies once and not twice, and adds to the gradient of a row where it lies.
    Not differentiable twice.

    Args:
        tables: users and items, (n, d) each.
        batch: numbers of their rows.
        epsilon: as in `bpr_loss`.
    """
    rows = batch.users, batch.positives, batch.negatives
    return _bpr(cast(Tensor, _Differences.apply(tables.users, tables.items, *rows)), epsilon)  # type: ignore[no-untyped-call]


def _bpr(differences: Tensor, epsilon: float) -> Tensor:
    if epsilon == 0.0:
        return -logsigmoid(differences).mean()
    return -torch.log(epsilon + torch.sigmoid(differences)).mean()


def embedding_norm(*tables: Tensor) -> Tensor:
    """(Σ_j ‖X_j‖_F) / rows of the last table: the norms are not squared (the baselines' "EmbLoss").

    Args:
        tables: (B, d) each.
    """
    return torch.stack([torch.linalg.vector_norm(table) for table in tables]).sum() / tables[-1].shape[0]


def embedding_norm_rows(tables: Embeddings, batch: Batch) -> Tensor:
    """`embedding_norm` of a batch's rows of `tables`: users, positives, negatives.

    A row's square is made once and counted as often as the batch has it: for tables of little more than those rows.
    """
    of_users, of_items = tables.users.square().sum(1), tables.items.square().sum(1)
    sides = (of_users, batch.users), (of_items, batch.positives), (of_items, batch.negatives)
    total = torch.stack([_times(ids, found) @ found for found, ids in sides])
    smallest = torch.finfo(total.dtype).tiny  # the gradient of a norm of zeros is then zero
    return total.clamp_min(smallest).sqrt().sum() / len(batch)


def squared_norm(*tables: Tensor, batch_size: int) -> Tensor:
    """½ Σ_j ‖X_j‖²_F / batch_size.

    Args:
        tables: (B, d) each.
        batch_size: B for a mean; the configured size, where a row of an epoch's last, shorter batch is to weigh as much
            as any other.
    """
    return torch.stack([table.square().sum() for table in tables]).sum() / (2 * batch_size)


def squared_norm_rows(tables: Embeddings, batch: Batch, *, batch_size: int) -> Tensor:
    """`squared_norm` of a batch's rows of `tables`: users, positives, negatives; see `embedding_norm_rows`."""
    of_users, of_items = tables.users.square().sum(1), tables.items.square().sum(1)
    times = _times(batch.positives, of_items) + _times(batch.negatives, of_items)
    return (_times(batch.users, of_users) @ of_users + times @ of_items) / (2 * batch_size)


def _times(ids: Tensor, rows: Tensor) -> Tensor:
    """How often each of `rows` (n,) is in `ids`: (n,)."""
    return torch.bincount(ids, minlength=len(rows)).to(rows.dtype)


class _Differences(torch.autograd.Function):
    """u · (i − j) of every triple, (B,)."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, users: Tensor, items: Tensor, user_ids: Tensor, positives: Tensor, negatives: Tensor
    ) -> Tensor:
        rows = users.index_select(0, user_ids)
        between = items.index_select(0, positives).sub_(items.index_select(0, negatives))
        ctx.save_for_backward(rows, between, user_ids, positives, negatives)
        ctx.n_rows = len(users), len(items)  # type: ignore[attr-defined]
        return (rows * between).sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:  # Any: torch types no ctx
        rows, between, user_ids, positives, negatives = ctx.saved_tensors
        n_users, n_items = ctx.n_rows
        for_users, for_items = rows.new_zeros(n_users, rows.shape[1]), rows.new_zeros(n_items, rows.shape[1])
        for_users.index_add_(0, user_ids, between * gradient.unsqueeze(1))
        pulled = rows * gradient.unsqueeze(1)
        for_items.index_add_(0, positives, pulled).index_add_(0, negatives, pulled, alpha=-1)
        return for_users, for_items, None, None, None
