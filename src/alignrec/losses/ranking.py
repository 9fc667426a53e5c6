"""Losses that rank: a user's taken item above one not taken, and what keeps the vectors small.

BPR: Rendle et al., Bayesian Personalized Ranking from Implicit Feedback, UAI 2009.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

__all__ = ["bpr_loss", "embedding_norm", "squared_norm"]


def bpr_loss(positive_scores: Tensor, negative_scores: Tensor, *, epsilon: float = 0.0) -> Tensor:
    """−mean log σ(x) of the score differences x (B,), or −mean log(ε + σ(x)).

    Args:
        positive_scores: (B,) scores of taken items.
        negative_scores: (B,) scores of items not taken.
        epsilon: 0 for AlignRec, MGCN, FREEDOM; 1e-10 is the form of the BPR and LightGCN baselines, whose gradient
            dies out once x falls under about −23.
    """
    difference = positive_scores - negative_scores
    if epsilon == 0.0:
        return -logsigmoid(difference).mean()
    return -torch.log(epsilon + torch.sigmoid(difference)).mean()


def embedding_norm(*tables: Tensor) -> Tensor:
    """(Σ_j ‖X_j‖_F) / rows of the last table: the norms are not squared (the baselines' "EmbLoss").

    Args:
        tables: (B, d) each.
    """
    return torch.stack([torch.linalg.vector_norm(table) for table in tables]).sum() / tables[-1].shape[0]


def squared_norm(*tables: Tensor, batch_size: int) -> Tensor:
    """½ Σ_j ‖X_j‖²_F / batch_size.

    `batch_size` is the configured one, also for an epoch's last, shorter batch, so that every row weighs the same.
    """
    return torch.stack([table.square().sum() for table in tables]).sum() / (2 * batch_size)
