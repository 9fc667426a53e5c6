"""Texts → token ids, by SentencePiece: the user's model (such as BEiT-3's `beit3.spm`) or one trained on the catalogue.

Source: Kudo, "Subword Regularization" (unigram model), 2018. The ids are laid out as in BEiT-3, whichever the model:
<s> 0, <pad> 1, </s> 2, <unk> 3, any other piece its number in the model + 1, <mask> last. A text is
<s>, its first pieces, </s>, and padding up to the longest beside it.

Needs the extra `pretrained`; `sentencepiece` is imported when a tokenizer is made.
"""

import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from alignrec.artifacts import hash_file, read_json, write_bytes, write_json
from alignrec.errors import ArtifactError, MissingExtraError, TrainingError, UsageError
from alignrec.runtime import numpy_rng
from alignrec.settings import Settings

if TYPE_CHECKING:
    from types import ModuleType

    from sentencepiece import SentencePieceProcessor

__all__ = [
    "BOS",
    "EOS",
    "FIRST_WORD",
    "PAD",
    "UNK",
    "TextTokenizer",
    "TextTokenizerSettings",
    "TokenizedTexts",
    "draw_texts",
]

BOS = 0
PAD = 1
EOS = 2
UNK = 3
FIRST_WORD = 4  # ids below are marks
_FIRST_PIECES = 3  # <unk>, <s>, </s> come first in a model
_MODEL, _ABOUT = "text.spm", "text.json"
_SPARE_ROWS = 64  # an embedding table may have fewer than that many rows that no token uses; BEiT-3's has 8
_WORD = "▁"  # how a model writes the blank before a word
_PIECE_LENGTH = 16  # longest piece, in characters
_FIT_CHARACTERS = 2000  # of a text are read in training
_LINE_BYTES = 16_384  # longest line that the trainer takes: room for that many characters, folding may lengthen them


class TextTokenizerSettings(Settings):
    """How a tokenizer is trained on a catalogue."""

    vocab_size: int | None = Field(default=None, ge=8, le=64_000)
    """Most pieces; None: a power of two from 512 to 32,768, about one piece per 40 words of the texts."""
    fold_case: bool = True
    """Whether capitals count as small letters; BEiT-3's own model tells them apart."""
    fit_characters: int = Field(default=10_000_000, ge=1)
    """Train on texts of that many characters in all, drawn at random; on every text where there are fewer. A character
    takes about 20 bytes of memory meanwhile."""


@dataclass(frozen=True)
class TokenizedTexts:
    """N texts as rows of ids; L is the length of the longest."""

    ids: Tensor  # (N, L) int64
    padding: Tensor  # (N, L) bool, True = padding


class TextTokenizer:
    """Encodes texts by one SentencePiece model, whose bytes are `model`.

    Raises:
        MissingExtraError: `sentencepiece` is not installed.
        ArtifactError: the bytes are no model, or one whose first pieces are not <unk>, <s>, </s>.
    """

    def __init__(self, model: bytes, name: str = "the tokenizer") -> None:
        self.model = model
        self._name = name
        self._pieces = _processor(model, name)
        numbers = np.arange(1, len(self._pieces) + 1)
        numbers[:_FIRST_PIECES] = UNK, BOS, EOS
        self._ids: list[int] = numbers.tolist()  # number in the model -> id

    @classmethod
    def load(cls, path: Path, embedding_rows: int | None = None) -> Self:
        """Read a SentencePiece file, or an encoder's folder that `save` wrote to.

        Args:
            path: of the file or folder.
            embedding_rows: rows of the text embedding the ids are for; checked if given.

        Raises:
            ArtifactError: not a usable model, changed since it was saved, or of another size than the embedding.
        """
        file = path / _MODEL if path.is_dir() else path
        if not file.is_file():
            raise ArtifactError(f"{file} is not a file; give a SentencePiece model or an encoder's folder")
        if path.is_dir() and read_json(path / _ABOUT).get("sha256") != hash_file(file):
            raise ArtifactError(f"{file} is not the file that {path / _ABOUT} describes; restore or make both anew")
        tokenizer = cls(file.read_bytes(), str(file))
        if embedding_rows is not None:
            tokenizer.require_rows(embedding_rows)
        return tokenizer

    @classmethod
    def train(cls, texts: Sequence[str], settings: TextTokenizerSettings | None = None, *, seed: int = 0) -> Self:
        """Train a unigram model; the same texts, settings and seed give the same bytes.

        Small catalogues may give fewer pieces than asked for.

        Raises:
            TrainingError: the texts are all empty.
        """
        settings = settings or TextTokenizerSettings()
        lines = _training_lines(texts, settings, seed)
        size = settings.vocab_size or _default_size(sum(line.count(" ") + 1 for line in lines))
        return cls(_train(lines, size, settings.fold_case))

    def save(self, folder: Path) -> None:
        """Write the model and a description of it into `folder`, as two plain files."""
        write_bytes(folder / _MODEL, self.model)
        sizes = {"pieces": len(self._pieces), "vocab_size": self.vocab_size, "mask_id": self.mask_id}
        write_json(folder / _ABOUT, {"layout": "beit3", **sizes, "sha256": self.content_hash})

    @property
    def content_hash(self) -> str:
        """SHA-256 of the model: two tokenizers with one hash are the same."""
        return hashlib.sha256(self.model).hexdigest()

    @property
    def vocab_size(self) -> int:
        """Number of ids, <pad> and <mask> among them."""
        return len(self._pieces) + 2

    @property
    def mask_id(self) -> int:
        """The id of <mask>, the last."""
        return len(self._pieces) + 1

    @cached_property
    def word_starts(self) -> Tensor:
        """Whether an id begins a word, (vocab_size,) bool; neither <unk> nor the other marks do."""
        starts = torch.zeros(self.vocab_size, dtype=torch.bool)
        for number in range(_FIRST_PIECES, len(self._pieces)):
            starts[self._ids[number]] = self._pieces.id_to_piece(number).startswith(_WORD)
        return starts

    def fits_rows(self, rows: int) -> bool:
        """Whether an embedding of `rows` rows has one for every id, and no more to spare than BEiT-3's might."""
        return 0 <= rows - self.vocab_size < _SPARE_ROWS

    def require_rows(self, rows: int) -> None:
        """Check that an embedding of `rows` rows was made for this vocabulary.

        Raises:
            ArtifactError: ids would fall outside it, or so many rows would be unused that it is another's.
        """
        if not self.fits_rows(rows):
            raise ArtifactError(
                f"{self._name} has {self.vocab_size} ids but the encoder's text embedding {rows} rows; it was made for "
                f"another vocabulary, give the one with {max(rows - _SPARE_ROWS + 1, 0)} to {rows} ids"
            )

    def encode(self, texts: Sequence[str], max_length: int = 128) -> TokenizedTexts:
        """Ids of the texts, each cut to `max_length` tokens, <s> and </s> among them.

        Only the beginning of a long text is looked at, so its length costs nothing. A text cannot spell the marks:
        "<mask>" is read as characters.

        Raises:
            UsageError: `max_length` leaves no room for a piece.
        """
        if max_length < 3:
            raise UsageError(f"max_length={max_length} leaves no room for a piece between <s> and </s>; give 3 or more")
        most = 2 * _PIECE_LENGTH * max_length
        lines = [_clean(text, most) for text in texts]
        pieces = self._pieces.encode(lines, out_type=int, num_threads=1) if lines else []
        length = min(max_length, max(map(len, pieces), default=0) + 2)
        ids = np.full((len(lines), length), PAD, dtype=np.int64)
        for row, numbers in zip(ids, pieces, strict=True):
            known = [self._ids[number] for number in numbers[: max_length - 2]]
            row[: len(known) + 2] = [BOS, *known, EOS]
        tokens = torch.from_numpy(ids)
        return TokenizedTexts(tokens, tokens == PAD)

    def decode(self, ids: Tensor) -> list[str]:
        """The texts of rows of ids (N, L), without marks; unknown pieces are shown as the model does."""
        numbers = {own: number for number, own in enumerate(self._ids) if number not in (1, 2)}
        return [self._pieces.decode([numbers[own] for own in row if own in numbers]) for row in ids.tolist()]


def _sentencepiece() -> "ModuleType":
    try:
        import sentencepiece  # of an extra
    except ImportError:
        raise MissingExtraError(
            "text tokens need the package sentencepiece, which is not installed; "
            "run: pip install 'alignrec[pretrained]'"
        ) from None
    return sentencepiece


def _processor(model: bytes, name: str) -> "SentencePieceProcessor":
    library = _sentencepiece()
    try:
        if not model:
            raise RuntimeError("no bytes")
        processor: SentencePieceProcessor = library.SentencePieceProcessor(model_proto=model)
    except RuntimeError:
        raise ArtifactError(f"{name} is not a SentencePiece model; give a .spm or .model file") from None
    found = [processor.unk_id(), processor.bos_id(), processor.eos_id()]
    if found != [0, 1, 2] or len(processor) <= _FIRST_PIECES:
        raise ArtifactError(
            f"{name} has <unk>, <s>, </s> at {found} among {len(processor)} pieces; BEiT-3's layout has them at "
            "[0, 1, 2] before the others, give such a model or train one on the catalogue"
        )
    return processor


def draw_texts(
    lengths: NDArray[np.integer], settings: TextTokenizerSettings | None = None, *, seed: int = 0
) -> NDArray[np.int64]:
    """Which texts a tokenizer is trained on, ascending.

    Args:
        lengths: characters of every text, (N,). Of a long one no more than 2,000 are read.
        settings: how many characters to train on.
        seed: of the draw, if there are more.
    """
    most = (settings or TextTokenizerSettings()).fit_characters
    read = np.minimum(lengths, _FIT_CHARACTERS).astype(np.int64)
    if read.sum() <= most:
        return np.arange(len(lengths))
    order = numpy_rng(seed, "text_tokens", "sample").permutation(len(lengths))
    count = max(int(np.searchsorted(read[order].cumsum(), most, side="right")), 1)
    return np.sort(order[:count])


def _training_lines(texts: Sequence[str], settings: TextTokenizerSettings, seed: int) -> list[str]:
    chosen = draw_texts(np.fromiter(map(len, texts), np.int64, len(texts)), settings, seed=seed)
    lines = [" ".join(_clean(texts[index], _FIT_CHARACTERS).split()) for index in chosen.tolist()]
    lines = [line for line in lines if line]
    if not lines:
        raise TrainingError(
            f"none of {len(chosen)} texts has a word to train a tokenizer on; give the catalogue titles or "
            "descriptions, or use a tokenizer that exists"
        )
    return lines


def _default_size(words: int) -> int:
    """A power of two, 512..32768, near a piece per 40 words."""
    return int(min(max(2 ** round(math.log2(words / 40)), 512), 32_768))


def _train(lines: list[str], size: int, fold_case: bool) -> bytes:
    model = io.BytesIO()
    try:
        _sentencepiece().SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type="unigram",
            vocab_size=size,
            hard_vocab_limit=False,
            character_coverage=0.9999,
            normalization_rule_name="nmt_nfkc_cf" if fold_case else "nmt_nfkc",
            max_sentencepiece_length=_PIECE_LENGTH,
            max_sentence_length=_LINE_BYTES,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,
            num_threads=1,  # sums in one order
            minloglevel=2,
        )
    except RuntimeError as error:
        raise TrainingError(
            f"no tokenizer of {size} pieces can be trained on {len(lines)} texts ({str(error).splitlines()[0]}); "
            "give other texts or another vocab_size"
        ) from None
    return model.getvalue()


def _clean(text: str, most: int) -> str:
    """At most `most` characters, without lone surrogates; blanks in a row count as one where a text is cut."""
    if len(text) > most:
        text = " ".join(text[: 8 * most].split())[:most]
    return text if text.isascii() else text.encode(errors="ignore").decode()
