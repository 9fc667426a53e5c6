"""How evenly a vocabulary of visual words is used: a word that nobody uses teaches nothing, nor does one for all."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor

__all__ = ["TokenUsage", "measure_usage"]


@dataclass(frozen=True)
class TokenUsage:
    """Use of a vocabulary over some patches."""

    vocab_size: int
    tokens: int  # patches counted
    used: int  # words that occur
    perplexity: float  # e to the entropy: the number of words that, used evenly, would surprise as much
    largest: float  # share of the most frequent word, 0..1

    @property
    def used_share(self) -> float:
        """Words that occur, 0..1."""
        return self.used / self.vocab_size

    def as_dict(self) -> dict[str, Any]:  # Any: JSON values
        """For a JSON file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `as_dict` gave; zeros for what is not there."""
        numbers = {name: values.get(name, 0) for name in ("vocab_size", "tokens", "used", "perplexity", "largest")}
        return cls(**numbers)

    def __str__(self) -> str:
        return (
            f"{self.used} of {self.vocab_size} words used, perplexity {self.perplexity:.0f}, "
            f"the most frequent is {self.largest:.1%} of {self.tokens} patches"
        )


def measure_usage(batches: Iterable[Tensor], vocab_size: int) -> TokenUsage:
    """Count the words 0..vocab_size-1 in tensors of any shape."""
    counts = torch.zeros(vocab_size, dtype=torch.int64)
    for tokens in batches:
        counts += torch.bincount(tokens.flatten().cpu(), minlength=vocab_size)
    total = int(counts.sum())
    if not total:
        return TokenUsage(vocab_size, 0, 0, 0.0, 0.0)
    shares = counts[counts > 0].double() / total
    entropy = -float((shares * shares.log()).sum())
    return TokenUsage(vocab_size, total, len(shares), math.exp(entropy), float(shares.max()))
