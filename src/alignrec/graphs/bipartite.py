"""The graph of who took what: users and items as nodes, one edge per training interaction (He et al. 2020, eq. 8).

With R (U, I) the interactions, A = [[0, R], [Rᵀ, 0]] and D the degrees, Â = D^{-1/2} A D^{-1/2}. Degrees are exact:
a node without edges gets a row of zeros.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from alignrec.ops import SparseOperator
from alignrec.types import Interactions

__all__ = [
    "degrees",
    "mean_adjacency",
    "mean_interactions",
    "normalized_adjacency",
    "normalized_interactions",
    "random_walk_adjacency",
]


def degrees(interactions: Interactions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of interactions of every user (U,) and every item (I,)."""
    users = np.diff(interactions.indptr).astype(np.int64)
    items = np.bincount(interactions.indices, minlength=interactions.shape[1]).astype(np.int64)
    return users, items


def normalized_adjacency(interactions: Interactions) -> SparseOperator:
    """Â over U + I nodes, users first, as a symmetric operator."""
    return SparseOperator.from_scipy(_stacked(_normalized(interactions)), symmetric=True)


def random_walk_adjacency(interactions: Interactions) -> SparseOperator:
    """(D + 1)^{-1} (A + 1) over U + I nodes, users first: the mean over a node and its neighbours (LATTICE)."""
    matrix = _stacked(_ones(interactions))
    return SparseOperator.from_scipy(_row_means(matrix + sparse.eye_array(matrix.shape[0], format="csr")))


def mean_adjacency(interactions: Interactions) -> SparseOperator:
    """D^{-1} A over U + I nodes, users first: the mean over a node's neighbours, not itself (MMGCN)."""
    return SparseOperator.from_scipy(_row_means(_stacked(_ones(interactions))))


def normalized_interactions(interactions: Interactions) -> SparseOperator:
    """R̂ (U, I) with 1/√(d_u d_i) where u took i: the user-item block of Â, not a mean over rows."""
    return SparseOperator.from_scipy(_normalized(interactions))


def mean_interactions(interactions: Interactions) -> SparseOperator:
    """(U, I) with 1/d_u where u took i: times a table of items, the mean over each user's items."""
    return SparseOperator.from_scipy(_row_means(_ones(interactions)))


def _stacked(block: sparse.csr_array) -> sparse.csr_array:
    """[[0, B], [Bᵀ, 0]], by hand: the rows of B point to items (shifted by U), those of Bᵀ to users."""
    transposed = block.T.tocsr()
    n_users, n_nodes = block.shape[0], sum(block.shape)
    arrays = (
        np.concatenate([block.data, transposed.data]),
        np.concatenate([block.indices + n_users, transposed.indices]),
        np.concatenate([block.indptr, transposed.indptr[1:] + block.nnz]),
    )
    return sparse.csr_array(arrays, shape=(n_nodes, n_nodes))


def _ones(interactions: Interactions) -> sparse.csr_array:
    arrays = (np.ones(interactions.nnz), interactions.indices, interactions.indptr)
    return sparse.csr_array(arrays, shape=interactions.shape)


def _row_means(pattern: sparse.csr_array) -> sparse.csr_array:
    """Entries of one, divided by how many there are in the row."""
    matrix = sparse.csr_array(pattern)
    lengths = np.diff(matrix.indptr)
    matrix.data /= np.repeat(lengths, lengths)
    return matrix


def _normalized(interactions: Interactions) -> sparse.csr_array:
    user_degrees, item_degrees = degrees(interactions)
    per_edge = np.repeat(user_degrees, user_degrees) * item_degrees[interactions.indices]
    return sparse.csr_array(
        (1.0 / np.sqrt(per_edge), interactions.indices, interactions.indptr), shape=interactions.shape
    )
