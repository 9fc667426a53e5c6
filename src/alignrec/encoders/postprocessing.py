"""Centring and whitening as a fitted step: learnt from some vectors, applied to any of their width."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignrec.types import FloatMatrix

__all__ = ["Postprocessing"]


@dataclass(frozen=True, eq=False)
class Postprocessing:
    """Takes `mean` off and, to whiten, turns into new directions and divides by the spread along each."""

    mean: NDArray[np.float64] | None = None  # (D,); None: vectors stay as they are
    whitening: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None  # directions (D, D'), spreads (D',)

    @classmethod
    def fit(cls, matrix: FloatMatrix, post: str) -> "Postprocessing":
        """Learn `none`, `center` or `whiten` from `matrix` (I, D)."""
        return cls.fit_blocks(lambda: [matrix], post)

    @classmethod
    def fit_blocks(cls, blocks: Callable[[], Iterable[FloatMatrix]], post: str) -> "Postprocessing":
        """`fit` to a matrix that comes in blocks of rows (n, D), so that it need not be in memory.

        `blocks` is called once to centre and twice to whiten. Whitening drops directions below a thousandth of the
        largest variance.
        """
        if post == "none":
            return cls()
        count, total = 0, np.zeros(())
        for block in blocks():
            count, total = count + len(block), total + block.sum(axis=0, dtype=np.float64)
        mean = total / count
        if post == "center":
            return cls(mean)
        covariance = np.zeros((len(mean), len(mean)))
        for block in blocks():
            centred = block.astype(np.float64) - mean
            covariance += centred.T @ centred
        variances, directions = np.linalg.eigh(covariance / count)
        kept = variances > 1e-3 * variances[-1]
        return cls(mean, (directions[:, kept], np.sqrt(variances[kept])))

    def __call__(self, matrix: FloatMatrix) -> FloatMatrix:
        """(n, D) → (n, D), whitened (n, D')."""
        if self.mean is None:
            return matrix
        vectors = matrix.astype(np.float64) - self.mean
        if self.whitening is not None:
            directions, spreads = self.whitening
            vectors = vectors @ directions / spreads
        return np.asarray(vectors, dtype=np.float32)
