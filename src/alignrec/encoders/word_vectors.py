"""Vectors to start a catalogue's words from: latent semantic analysis of its own texts (Deerwester et al., 1990).

A small encoder that starts from random word vectors spends its first thousands of steps on finding out which words go
together. That can be counted: the right singular vectors of the items-by-words matrix of tf-idf weights give words of
the same items the same direction. Nothing but the catalogue is used, and nothing of the encoder's shape changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from alignrec.encoders.multiway import MultiwayEncoder, TokenHead
from alignrec.encoders.text_tokens import FIRST_WORD
from alignrec.runtime import release_pages
from alignrec.types import FloatMatrix

__all__ = ["latent_word_vectors", "start_words_from"]

_MOST_ITEMS = 100_000
_MORE = 10  # dimensions beside those that are asked for, so that these come out right
_ROUNDS = 5
_CHUNK = 4096  # texts whose matrix is in memory
_SPREAD = 0.05  # root mean square of an entry of a word's vector: above that of random starts, which is 0.02
_HEAD_SPREAD = 0.02


def latent_word_vectors(
    tokens: NDArray[np.int32], weights: NDArray[np.float32], size: int, rng: np.random.Generator
) -> FloatMatrix:
    """One vector (V, `size`) per word id, of length √size or all zeros for ids that are in no text.

    Args:
        tokens: (I, L) ids of the items' texts; ids below 4 are marks. Beyond 100,000 items a random sample is read.
        weights: (V,) how much a word counts, such as its inverse document frequency.
        size: dimensions; the texts may have fewer independent directions.
        rng: draws the sample, the solver's start and a rotation, without which all that matters would lie in the
            first dimensions, that is in the first attention head.
    """
    rows = np.sort(rng.permutation(len(tokens))[:_MOST_ITEMS])
    rank = max(1, min(size, min(len(rows), len(weights)) - 1))
    strengths, directions = _Texts(tokens, rows, weights).leading(rank, rng)
    vectors = np.zeros((len(weights), size))
    vectors[:, :rank] = directions * np.sqrt(strengths)
    rotation, _ = np.linalg.qr(rng.normal(size=(size, size)))
    vectors = vectors @ rotation
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    known = lengths[:, 0] > 1e-6 * lengths.max(initial=1e-12)
    vectors[known] *= np.sqrt(size) / lengths[known]
    vectors[~known] = 0
    return np.asarray(vectors, dtype=np.float32)


def start_words_from(vectors: FloatMatrix, encoder: MultiwayEncoder, head: TokenHead) -> None:
    """Write `vectors` (V, d) into the text embedding and the words' head; words without a vector stay as they are."""
    known = torch.from_numpy(np.flatnonzero(vectors.any(axis=1)))
    starts = torch.from_numpy(vectors)[known]
    with torch.no_grad():
        _write(encoder.text_embedding.weight, known, _SPREAD * starts)
        _write(head.project.weight, known, _HEAD_SPREAD * starts)


def _write(table: Tensor, rows: Tensor, values: Tensor) -> None:
    table[rows.to(table.device)] = values.to(table.device, table.dtype)


@dataclass(frozen=True)
class _Texts:
    """A, the tf-idf matrix of some texts: made a few thousand rows at a time, whenever it is asked for."""

    tokens: NDArray[np.int32]  # (I, L)
    rows: NDArray[np.int64]  # which of them
    weights: NDArray[np.float32]  # (V,)

    def squared(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """AᵀA `vectors`, (V, n)."""
        product = np.zeros_like(vectors)
        for part in _chunks(self.rows):
            texts = _tf_idf(_counts(self.tokens[part], len(self.weights)), self.weights)
            release_pages(self.tokens)
            product += texts.T @ (texts @ vectors)
        return product

    def leading(self, rank: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The largest singular values (rank,) of A and their right vectors (V, rank), nearly.

        By subspace iteration with AᵀA (Halko, Martinsson and Tropp, 2011, Algorithm 4.4), in memory for V vectors,
        however many texts there are.
        """
        vocab = len(self.weights)
        basis = rng.normal(size=(vocab, min(rank + _MORE, vocab)))
        for _ in range(_ROUNDS):
            basis, _ = np.linalg.qr(self.squared(basis))
        values, turn = np.linalg.eigh(basis.T @ self.squared(basis))
        largest = np.argsort(-values, kind="stable")[:rank]
        return np.sqrt(np.maximum(values[largest], 0)), basis @ turn[:, largest]


def _tf_idf(counts: sparse.csr_array, weights: NDArray[np.float32]) -> sparse.csr_array:
    """1 + log of the count times the weight, every row of length 1."""
    counts.data = (1 + np.log(counts.data)) * weights[counts.indices]
    lengths = np.sqrt(counts.multiply(counts).sum(axis=1))
    counts.data /= np.repeat(np.maximum(lengths, 1e-12), np.diff(counts.indptr))
    return counts


def _counts(tokens: NDArray[np.int32], vocab: int) -> sparse.csr_array:
    rows = np.repeat(np.arange(len(tokens)), tokens.shape[1])
    words = tokens.ravel().astype(np.int64)
    real = words >= FIRST_WORD
    # summing double entries counts the words
    pairs = (np.ones(int(real.sum())), (rows[real], words[real]))
    return sparse.csr_array(sparse.coo_array(pairs, shape=(len(tokens), vocab)))


def _chunks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK))
