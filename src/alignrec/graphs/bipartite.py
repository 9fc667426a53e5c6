"""The graph of who took what: users and items as nodes, one edge per training interaction (He et al. 2020, eq. 8).

With R (U, I) the interactions, A = [[0, R], [Rᵀ, 0]] and D the degrees, Â = D^{-1/2} A D^{-1/2}. Degrees are exact:
a node without edges gets a row of zeros.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from alignrec.ops import SparseOperator
from alignrec.types import Interactions

__all__ = ["degrees", "normalized_adjacency", "normalized_interactions"]


def degrees(interactions: Interactions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of interactions of every user (U,) and every item (I,)."""
    users = np.diff(interactions.indptr).astype(np.int64)
    items = np.bincount(interactions.indices, minlength=interactions.shape[1]).astype(np.int64)
    return users, items


def normalized_adjacency(interactions: Interactions) -> SparseOperator:
    """Â over U + I nodes, users first, as a symmetric operator."""
    weighted = _normalized(interactions)
    transposed = weighted.T.tocsr()
    n_users = weighted.shape[0]
    # Stacking the two blocks by hand: the rows of R point to items (shifted by U), those of Rᵀ to users.
    matrix = sparse.csr_array(
        (
            np.concatenate([weighted.data, transposed.data]),
            np.concatenate([weighted.indices + n_users, transposed.indices]),
            np.concatenate([weighted.indptr, transposed.indptr[1:] + weighted.nnz]),
        ),
        shape=(sum(weighted.shape), sum(weighted.shape)),
    )
    return SparseOperator.from_scipy(matrix, symmetric=True)


def normalized_interactions(interactions: Interactions) -> SparseOperator:
    """R̂ (U, I) with 1/√(d_u d_i) where u took i: the user-item block of Â, not a mean over rows."""
    return SparseOperator.from_scipy(_normalized(interactions))


def _normalized(interactions: Interactions) -> sparse.csr_array:
    user_degrees, item_degrees = degrees(interactions)
    per_edge = np.repeat(user_degrees, user_degrees) * item_degrees[interactions.indices]
    return sparse.csr_array(
        (1.0 / np.sqrt(per_edge), interactions.indices, interactions.indptr), shape=interactions.shape
    )
