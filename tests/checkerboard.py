"""A dataset with one right answer per user: the learns-something test of every recommender.

User u takes the items of u's parity but one; the withheld item is the only unseen item of that parity.
After the idea of the test mixin in the library "implicit".
"""

import numpy as np
from scipy import sparse

from alignrec.types import TrainData

N = 30


def checkerboard(feature_size: int = 6) -> tuple[TrainData, np.ndarray]:
    """Training data of N users and N items, and each user's withheld item."""
    board = (np.arange(N)[:, None] + np.arange(N)[None, :]) % 2 == 0
    withheld = np.arange(N)  # the diagonal: user u loses item u
    board[np.arange(N), withheld] = False
    parity = np.arange(N) % 2
    rng = np.random.default_rng(0)
    features = rng.normal(0, 0.1, (N, feature_size)).astype(np.float32)
    features[:, 0] += np.where(parity == 0, 1.0, -1.0)
    return TrainData(sparse.csr_array(board.astype(np.float32)), {"content": features}), withheld


def with_modalities(*sizes: int) -> TrainData:
    """The checkerboard's users and items with one feature table of each size, named m0, m1, ..."""
    data, _ = checkerboard()
    features = {f"m{n}": checkerboard(size)[0].features["content"][:, ::-1].copy() for n, size in enumerate(sizes)}
    return TrainData(data.interactions, features)
