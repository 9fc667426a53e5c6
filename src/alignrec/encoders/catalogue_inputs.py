"""What an encoder reads of a catalogue, item by item: squares of pixels, visual tokens, words. All on disk, mapped."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from alignrec.artifacts import hash_values, read_json, sole_writer, write_json
from alignrec.data import Dataset
from alignrec.encoders.image_cache import ImageCache
from alignrec.encoders.item_texts import ITEM_TEXT_COLUMNS, item_texts, items_with_text
from alignrec.encoders.text_tokens import PAD, TextTokenizer
from alignrec.encoders.visual_tokens import VisualTokenizer
from alignrec.encoders.vqkd import VqKd
from alignrec.errors import AlignrecError
from alignrec.progress import progress_bar
from alignrec.runtime import release_pages

__all__ = ["CatalogueInputs", "ItemBatch", "ItemSource", "inverse_document_frequency", "prepare_inputs"]

_FORMAT = 1
_CHUNK = 256
_SAVED = 16 * _CHUNK  # items after which what was done is noted
_DONE = "tokens.json"

_Mapped = np.memmap[Any, Any]  # NumPy leaves shape and number type open


@dataclass(frozen=True)
class ItemBatch:
    """B items as an encoder reads them; L is the longest text among them in tokens."""

    images: Tensor  # (B, 3, S, S) bytes; zeros where there is no picture
    tokens: Tensor  # (B, L) int64
    padding: Tensor  # (B, L) bool
    has_image: Tensor  # (B,) bool
    has_text: Tensor  # (B,) bool


class ItemSource(Protocol):
    """Where the items of a catalogue are read from, in order."""

    def __len__(self) -> int:
        """I, the number of items."""

    @property
    def has_image(self) -> NDArray[np.bool_]:
        """Which items have a readable picture, (I,); certain once all were read."""

    @property
    def has_text(self) -> NDArray[np.bool_]:
        """Which items have a text, (I,)."""

    def read(self, batches: Iterable[range]) -> Iterator[ItemBatch]:
        """The items of each of `batches`, which must be in order."""


@dataclass(frozen=True, eq=False)
class CatalogueInputs:
    """I items; L is the longest text in tokens."""

    images: ImageCache
    visual_tokens: NDArray[np.int16]  # (I, P), mapped
    tokens: NDArray[np.int32]  # (I, L), mapped
    has_text: NDArray[np.bool_]  # (I,)
    word_starts: Tensor  # (vocabulary,) bool, ids that begin a word

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def has_image(self) -> NDArray[np.bool_]:
        """Which items have a readable picture, (I,)."""
        return self.images.found

    def patches(self, items: NDArray[np.int64]) -> Tensor:
        """Visual words (B, P) int64 of `items`."""
        words = torch.from_numpy(self.visual_tokens[items].astype(np.int64))
        release_pages(self.visual_tokens)
        return words

    def text(self, items: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Ids (B, L') int64 and padding (B, L') bool of `items`; L' is the longest among them."""
        ids = torch.from_numpy(self.tokens[items].astype(np.int64))
        release_pages(self.tokens)
        padding = ids == PAD
        length = max(int((~padding).sum(dim=1).max()), 2)
        return ids[:, :length], padding[:, :length]

    def read(self, batches: Iterable[range]) -> Iterator[ItemBatch]:
        """The items of each of `batches`."""
        for items in batches:
            rows = np.arange(items.start, items.stop)
            has_image, has_text = torch.from_numpy(self.has_image[rows]), torch.from_numpy(self.has_text[rows])
            yield ItemBatch(self.images.load(rows), *self.text(rows), has_image, has_text)


def prepare_inputs(
    dataset: Dataset,
    images: ImageCache,
    text: TextTokenizer,
    visual: VisualTokenizer,
    *,
    max_length: int,
    folder: Path,
    columns: tuple[str, ...] = ITEM_TEXT_COLUMNS,
    device: torch.device | None = None,
) -> CatalogueInputs:
    """Tokenise the catalogue into `folder`, once: what is there for the same content and tokenizers is opened.

    What was broken off goes on where it stopped, or up to 4,096 items before.

    Args:
        dataset: its texts.
        images: its pictures.
        text: tokenizer of texts.
        visual: tokenizer of pictures.
        max_length: longest text in tokens.
        columns: of the catalogue, whose values make an item's text.
        folder: of the caches.
        device: where VQ-KD, a network as large as the encoder, makes visual words; the CPU by default. Rounding is
            another on another kind of device, and so is the cache.
    """
    device = device if device is not None and isinstance(visual, VqKd) else torch.device("cpu")
    key = hash_values(
        {
            "format": _FORMAT,
            "items": dataset.content_hash,
            "images": images.folder.name,
            "text": [text.content_hash, max_length, *columns],
            "visual": visual.content_hash,
            **({} if device.type == "cpu" else {"device": device.type}),
        }
    )
    final = folder / f"tokens-{key[:16]}"
    if not final.is_dir():
        partial = final.with_name(f"{final.name}.partial")
        try:
            with sole_writer(partial, wait=True):
                if final.is_dir():  # somebody else made the same and was first
                    shutil.rmtree(partial, ignore_errors=True)
                else:
                    with _on(device, visual):
                        _write_tokens(dataset, images, text, visual, max_length, columns, partial, device)
                    partial.rename(final)
        except FileNotFoundError:  # it was moved just when it was to be locked
            if not final.is_dir():
                raise
    tokens = np.load(final / "text.npy", mmap_mode="r")
    visual_tokens = np.load(final / "visual.npy", mmap_mode="r")
    return CatalogueInputs(images, visual_tokens, tokens, np.load(final / "has_text.npy"), text.word_starts)


@contextmanager
def _on(device: torch.device, visual: VisualTokenizer) -> Iterator[None]:
    """Inside, a tokenizer that is a network is on `device`; afterwards on the CPU."""
    if device.type == "cpu" or not isinstance(visual, nn.Module):
        yield
        return
    visual.to(device)
    try:
        yield
    finally:
        visual.cpu()


def _write_tokens(
    dataset: Dataset,
    images: ImageCache,
    text: TextTokenizer,
    visual: VisualTokenizer,
    max_length: int,
    columns: tuple[str, ...],
    partial: Path,
    device: torch.device,
) -> None:
    n_items, patches = dataset.n_items, visual.grid(images.settings.size) ** 2
    words, codes, done = _begin(partial, n_items, max_length, patches)
    with progress_bar("tokens", n_items, done) as bar:
        for rows in _chunks(n_items, done):
            ids = text.encode(item_texts(dataset, columns, rows=range(rows.start, rows.stop)), max_length).ids.numpy()
            words[rows] = PAD
            words[rows, : ids.shape[1]] = ids
            squares = images.load(np.arange(rows.start, rows.stop)).to(device)
            codes[rows] = visual.encode(squares).reshape(-1, patches).cpu().numpy()
            if rows.stop == n_items or rows.stop % _SAVED == 0:
                words.flush()
                codes.flush()
                release_pages(words)
                release_pages(codes)
                write_json(partial / _DONE, _state(n_items, max_length, patches) | {"done": rows.stop})
            bar.advance(rows.stop - rows.start)
    np.save(partial / "has_text.npy", items_with_text(dataset, columns))


def _begin(partial: Path, n_items: int, max_length: int, patches: int) -> tuple[_Mapped, _Mapped, int]:
    """Texts and pictures in `partial` to be filled in, and for how many items that was done already."""
    try:
        state = read_json(partial / _DONE)
        files = [np.lib.format.open_memmap(partial / name, "r+") for name in ("text.npy", "visual.npy")]
        if {**state, "done": 0} == _state(n_items, max_length, patches) | {"done": 0}:
            return files[0], files[1], int(state["done"])
    except (AlignrecError, OSError, ValueError):
        pass  # nothing was begun, or not so far that it can be gone on with
    for path in partial.iterdir():  # not the folder itself, which is locked
        path.unlink()
    words = np.lib.format.open_memmap(partial / "text.npy", "w+", np.int32, (n_items, max_length))
    return words, np.lib.format.open_memmap(partial / "visual.npy", "w+", np.int16, (n_items, patches)), 0


def _state(n_items: int, max_length: int, patches: int) -> dict[str, int]:
    return {"items": n_items, "max_length": max_length, "patches": patches}


def inverse_document_frequency(tokens: NDArray[np.int32], vocab: int) -> Tensor:
    """log((I + 1) / (n_v + 1)) for each id v that occurs in n_v of I texts, (vocab,)."""
    counts = np.zeros(vocab, dtype=np.int64)
    for chunk in _chunks(len(tokens)):
        rows = tokens[chunk].astype(np.int64)
        release_pages(tokens)
        pairs = np.unique(rows + vocab * np.arange(len(rows))[:, None])
        counts += np.bincount(pairs % vocab, minlength=vocab)
    return torch.from_numpy(np.log((len(tokens) + 1) / (counts + 1)).astype(np.float32))


def _chunks(n: int, done: int = 0) -> Iterator[slice]:
    return (slice(start, min(start + _CHUNK, n)) for start in range(done, n, _CHUNK))
