"""A part of the interactions, drawn anew: all edges alike, or popular pairs less often.

Zhou and Shen, A Tale of Two Graphs, ACM MM 2023 (FREEDOM): an edge between u and i is kept with a probability that
falls with both degrees, in proportion to 1 / √(d_u d_i), without replacement. SGL (Wu et al., SIGIR 2021) drops edges
uniformly.
"""

import math
from typing import Literal

import numpy as np
import torch
from scipy import sparse

from alignrec.errors import UsageError
from alignrec.graphs.bipartite import degrees
from alignrec.types import Interactions

__all__ = ["sample_edges"]


def sample_edges(
    interactions: Interactions, dropped: float, rng: torch.Generator, by: Literal["degree", "uniform"] = "degree"
) -> Interactions:
    """Keep ⌊E (1 − dropped)⌋ of the E interactions, drawn one after another.

    Drawing without replacement by weights w equals taking the smallest of x / w with x exponential (Efraimidis and
    Spirakis 2006): one pass, no loop over draws.

    Args:
        interactions: R (U, I).
        dropped: share of the edges to leave out, in 0..1.
        rng: all that is drawn comes from here; on the CPU.
        by: in proportion to 1 / √(d_u d_i), or each edge as likely as any other.

    Raises:
        UsageError: `dropped` is not in 0..1.
    """
    if not 0.0 <= dropped <= 1.0:
        raise UsageError(f"a share of edges to drop must be between 0 and 1, not {dropped}")
    n_edges = int(interactions.nnz)
    n_kept = math.floor(n_edges * (1.0 - dropped) + 1e-6)  # 500 edges without 0.8 of them are 100, not 99.99999
    if n_kept == n_edges:
        return interactions
    user_degrees, item_degrees = degrees(interactions)
    users = np.repeat(np.arange(len(user_degrees)), user_degrees)
    times = torch.empty(n_edges, dtype=torch.float64).exponential_(generator=rng).numpy()
    if by == "degree":
        times *= np.sqrt(user_degrees[users] * item_degrees[interactions.indices])
    kept = np.sort(np.argpartition(times, n_kept)[:n_kept])  # sorted: still by user, then item
    indptr = np.concatenate([[0], np.cumsum(np.bincount(users[kept], minlength=len(user_degrees)))])
    arrays = (interactions.data[kept], interactions.indices[kept], indptr.astype(interactions.indptr.dtype))
    return sparse.csr_array(arrays, shape=interactions.shape)
