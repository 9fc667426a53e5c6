"""Data of the size and shape of Amazon Baby, drawn and not downloaded: long-tailed users and items, 768-d features."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from alignrec.runtime import numpy_rng
from alignrec.types import FloatMatrix, Interactions

__all__ = ["N_ITEMS", "N_USERS", "SPLIT_SIZES", "interactions", "unified_features"]

N_USERS, N_ITEMS = 19_445, 7_050
SPLIT_SIZES = {"train": 118_551, "valid": 20_559, "test": 21_682}


@cache
def interactions(seed: int = 0) -> dict[str, Interactions]:
    """The three splits (U, I), no pair in two of them; every user has at least 3, 1 and 1 pairs in them."""
    rng = numpy_rng(seed, "baby", "interactions")
    extra = sum(SPLIT_SIZES.values()) - 5 * N_USERS
    degrees = 5 + rng.multinomial(extra, _shares(rng.lognormal(0.0, 1.6, N_USERS)))  # 5-core, median 5 to 6
    items = _distinct_items(degrees, rng)
    users = np.repeat(np.arange(N_USERS), degrees)
    place = np.arange(len(users)) - np.repeat(np.cumsum(degrees) - degrees, degrees)  # 0, 1, ... within a user
    labels = np.where(place == 0, 1, np.where(place == 1, 2, 0))
    rest = rng.permutation(np.flatnonzero(place >= 5))  # the other three stay in training
    n_valid, n_test = SPLIT_SIZES["valid"] - N_USERS, SPLIT_SIZES["test"] - N_USERS
    labels[rest[:n_valid]], labels[rest[n_valid : n_valid + n_test]] = 1, 2
    return {name: _matrix(users[labels == code], items[labels == code]) for code, name in enumerate(SPLIT_SIZES)}


@cache
def unified_features(seed: int = 0) -> FloatMatrix:
    """(I, 768) float32 with what encoders give: a common offset, clusters, a falling spectrum."""
    rng = numpy_rng(seed, "baby", "features")
    spectrum = (1.0 + np.arange(768)) ** -0.6
    clusters = rng.normal(size=(60, 768)) * spectrum
    rows = clusters[rng.integers(60, size=N_ITEMS)] + rng.normal(size=(N_ITEMS, 768)) * spectrum
    return (rows + rng.normal(size=768) * 0.2).astype(np.float32)


def _distinct_items(degrees: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Items of every user in turn, popular ones more often, none twice for one user."""
    popularity = _shares((np.arange(N_ITEMS) + 8.0) ** -0.75)
    users = np.repeat(np.arange(N_USERS), degrees)
    items = rng.choice(N_ITEMS, size=len(users), p=popularity)
    while True:
        _, first = np.unique(users * N_ITEMS + items, return_index=True)
        again = np.setdiff1d(np.arange(len(users)), first, assume_unique=True)
        if not again.size:
            return items
        items[again] = rng.choice(N_ITEMS, size=len(again), p=popularity)


def _shares(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return weights / weights.sum()


def _matrix(users: NDArray[np.int64], items: NDArray[np.int64]) -> Interactions:
    matrix = sparse.csr_array((np.ones(len(users), dtype=np.float32), (users, items)), shape=(N_USERS, N_ITEMS))
    matrix.sort_indices()
    return matrix
