"""What is hidden for mask-then-predict: words of the texts, blocks of the pictures; exact counts, one call a batch.

Texts (Devlin et al. 2019, as BEiT-3 draws them): of a row's n tokens, round(share · n) and at least one, never the
opening `<s>` and never padding. Pictures (BEiT, Bao et al. 2022): rectangles of random area and proportions are laid
over the grid of patches until the count is reached or nothing more fits; single patches drawn at random fill up.
Every picture hides equally many, so that the hidden states of a batch are gathered into one rectangle.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from alignrec.encoders.text_tokens import UNK
from alignrec.errors import UsageError
from alignrec.settings import Settings

__all__ = ["ImageMasking", "MaskedText", "TextMasking", "as_mask", "mask_blocks", "mask_text"]

_ABSENT = -100  # what torch's cross entropy passes over
_TRIES = 10  # rectangles tried in a row before single patches fill up
_LEAST_BLOCK = 16 / 14**2  # the smallest rectangle, as a part of the grid: 16 of BEiT's 196 patches
_FLATTEST = math.log(0.3)  # proportions of a rectangle lie between 0.3 and 1 / 0.3


class TextMasking(Settings):
    """What is hidden of a text."""

    share: float = Field(default=0.15, gt=0, lt=1)
    """Part of a text's tokens that is hidden, `<s>` and `</s>` counted as tokens."""
    bert_801010: bool = False
    """Whether a tenth of the hidden tokens stays as it is and a tenth becomes a random word, as in BERT."""
    whole_word: bool = False
    """Whether the pieces of a word are hidden together; the last word drawn may be cut, so that the count holds."""


class ImageMasking(Settings):
    """What is hidden of a picture."""

    share: float = Field(default=0.4, gt=0, lt=1)
    """Part of a picture's patches that is hidden."""


@dataclass(frozen=True)
class MaskedText:
    """Texts with hidden tokens; m is the largest number hidden in a row."""

    tokens: Tensor  # (B, L) int64, what the encoder reads
    positions: Tensor  # (B, m) int64, ascending; 0 where a row hides fewer
    targets: Tensor  # (B, m) int64, what was there; -100, which cross entropy passes over, where a row hides fewer

    @property
    def present(self) -> Tensor:
        """Which entries are hidden tokens and not filling, (B, m) bool."""
        return self.targets != _ABSENT

    def flat(self) -> tuple[Tensor, Tensor]:
        """Row numbers into states (B·L, d), and their targets, both (hidden tokens,): no filling at all."""
        rows, columns = torch.nonzero(self.present, as_tuple=True)
        return rows * self.tokens.shape[1] + self.positions[rows, columns], self.targets[rows, columns]


def mask_text(
    tokens: Tensor,
    padding: Tensor,
    rng: np.random.Generator,
    *,
    mask_id: int,
    starts_word: Tensor | None = None,
    settings: TextMasking | None = None,
) -> MaskedText:
    """Hide tokens of `tokens` (B, L) int64; `padding` (B, L) bool is true where there is no text.

    A row starts with `<s>` and has its padding at the end. One that holds nothing but `<s>` and `</s>` hides nothing.
    `mask_id` is the last id of the vocabulary; `starts_word` (mask_id + 1,) bool says which ids begin a word.

    Raises:
        UsageError: `whole_word` without `starts_word`.
    """
    settings = settings or TextMasking()
    lengths = (~padding).sum(1).numpy()  # (B,)
    counts = np.where(lengths > 2, np.clip(np.floor(settings.share * lengths + 0.5), 1, lengths - 1), 0).astype(np.intp)
    keys = rng.random(tokens.shape)
    if settings.whole_word:
        if starts_word is None:
            raise UsageError("whole_word masking needs starts_word, which ids begin a word; leave one out or give both")
        marks = tokens < UNK  # <s>, <pad>, </s>: words of their own
        keys = _one_key_a_word(keys, (starts_word[tokens] | marks).numpy())
    keys[:, 0] = np.inf
    keys[padding.numpy()] = np.inf
    width = int(counts.max(initial=0))
    first = np.argsort(keys, axis=1, kind="stable")[:, :width]
    absent = np.arange(width) >= counts[:, None]
    positions = np.sort(np.where(absent, tokens.shape[1], first), axis=1)  # what is absent goes to the end
    positions[absent] = 0
    where = torch.from_numpy(positions)
    there = tokens.gather(1, where)
    shown = _replacements(there.numpy(), mask_id, rng) if settings.bert_801010 else torch.full_like(there, mask_id)
    gone = torch.from_numpy(absent)
    hidden = tokens.scatter(1, where, torch.where(gone, tokens[:, :1], shown))  # position 0 gets back its own <s>
    return MaskedText(hidden, where, there.masked_fill(gone, _ABSENT))


def _one_key_a_word(keys: NDArray[np.float64], starts: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Each piece gets the key of its word, so that a stable sort takes words whole and from their beginning."""
    starts = starts.copy()
    starts[:, :2] = True  # <s>, and whatever follows it
    return np.take_along_axis(keys, np.cumsum(starts, axis=1) - 1, axis=1)


def _replacements(there: NDArray[np.int64], mask_id: int, rng: np.random.Generator) -> Tensor:
    """80 % the mask, 10 % what was there, 10 % any word."""
    kind = rng.random(there.shape)
    words = rng.integers(UNK, mask_id, there.shape)  # <unk> among them, as in BEiT-3
    return torch.from_numpy(np.where(kind < 0.8, mask_id, np.where(kind < 0.9, there, words)))


def mask_blocks(images: int, grid: int, rng: np.random.Generator, settings: ImageMasking | None = None) -> Tensor:
    """Hidden patches of `images` pictures of grid x grid patches: (images, m) int64, ascending; m = round(share · g²).

    Raises:
        UsageError: the grid has a single patch.
    """
    if grid < 2:
        raise UsageError(f"a grid of {grid} x {grid} patches has nothing left when one is hidden; give at least 2")
    share = (settings or ImageMasking()).share
    count = min(max(math.floor(share * grid**2 + 0.5), 1), grid**2 - 1)
    hidden = np.zeros((images, grid * grid), dtype=bool)
    _lay_rectangles(hidden, grid, count, rng)
    # hidden patches first, then a random order of the others: the first `count` are the exact number
    keys = np.where(hidden, -1.0, rng.random(hidden.shape))
    chosen = np.argpartition(keys, count - 1, axis=1)[:, :count]
    return torch.from_numpy(np.sort(chosen, axis=1))


def as_mask(positions: Tensor, patches: int) -> Tensor:
    """Positions (B, m) → (B, patches) bool."""
    mask = torch.zeros(len(positions), patches, dtype=torch.bool, device=positions.device)
    return mask.scatter_(1, positions, torch.ones_like(positions, dtype=torch.bool))


def _lay_rectangles(hidden: NDArray[np.bool_], grid: int, count: int, rng: np.random.Generator) -> None:
    """Hide rectangles in each row of `hidden` (B, g²) in place, never more than `count` patches."""
    left = np.full(len(hidden), count)
    tries = np.zeros(len(hidden), dtype=np.intp)
    active = np.arange(len(hidden))
    while len(active):
        rectangle = _rectangles(left[active], grid, rng)
        rectangle &= ~hidden[active]
        new = rectangle.sum(1)
        fits = (new > 0) & (new <= left[active])
        accepted = active[fits]
        hidden[accepted] |= rectangle[fits]
        left[accepted] -= new[fits]
        tries[active] += 1
        tries[accepted] = 0
        active = active[(left[active] > 0) & (tries[active] < _TRIES)]


def _rectangles(left: NDArray[np.intp], grid: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """One rectangle for each row (n, g²); none where the one drawn is as wide or high as the grid."""
    area, shape, top, start = rng.random((4, len(left)))
    least = _LEAST_BLOCK * grid**2
    area = least + area * (left - least)
    ratio = np.exp(_FLATTEST * (1 - 2 * shape))
    high, wide = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    high[wide >= grid] = 0
    high[high >= grid] = 0
    rows = _interval(np.floor(top * (grid - high + 1)), high, grid)
    columns = _interval(np.floor(start * (grid - wide + 1)), wide, grid)
    return (rows[:, :, None] & columns[:, None, :]).reshape(len(left), -1)


def _interval(first: NDArray[np.float64], length: NDArray[np.float64], size: int) -> NDArray[np.bool_]:
    at = np.arange(size)
    return (at >= first[:, None]) & (at < (first + length)[:, None])
