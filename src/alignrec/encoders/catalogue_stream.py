"""What an encoder reads of a catalogue, straight from pictures and texts: what nobody has decoded yet is on the way.

Squares come from the cache of pictures, which is made while it is read where it is not there; texts become ids as they
are asked for. Three bytes an item are kept in memory, whatever the pictures and texts.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from alignrec.artifacts import hash_values
from alignrec.data import Dataset
from alignrec.encoders.catalogue_inputs import ItemBatch
from alignrec.encoders.image_cache import GrowingImageCache
from alignrec.encoders.image_resizing import ImageSettings
from alignrec.encoders.item_texts import ITEM_TEXT_COLUMNS, item_texts, items_with_text
from alignrec.encoders.pictures import PictureReport
from alignrec.encoders.text_tokens import TextTokenizer

__all__ = ["CatalogueStream"]


class CatalogueStream:
    """The I items of `dataset` for an encoder of squares as `images` says and of texts of `max_length` tokens.

    Args:
        dataset: its texts and pictures; the cache of pictures lies in its folder.
        images: how pictures become squares.
        text: tokenizer.
        max_length: longest text in tokens.
        columns: of the catalogue, whose values make an item's text.
        modality: `image` reads no text, `text` no picture: zeros, and no token, stand for them.
        workers: processes that decode pictures; 0: the thread that reads does it.

    Raises:
        UsageError: pictures are asked for and the dataset is only in memory.
    """

    def __init__(
        self,
        dataset: Dataset,
        images: ImageSettings,
        text: TextTokenizer,
        max_length: int,
        *,
        columns: tuple[str, ...] = ITEM_TEXT_COLUMNS,
        modality: Literal["both", "image", "text"] = "both",
        workers: int = 0,
    ) -> None:
        self._dataset, self._squares, self._text, self._max_length = dataset, images, text, max_length
        self._columns = columns
        self._reads_text = modality != "image"
        self._pictures = None if modality == "text" else GrowingImageCache(dataset, images, workers=workers)

    def __len__(self) -> int:
        return self._dataset.n_items

    @property
    def content_hash(self) -> str:
        """SHA-256 of all that decides what is read: two streams with one hash read the same."""
        pictures = None if self._pictures is None else self._pictures.name
        words = [self._text.content_hash, self._max_length, *self._columns] if self._reads_text else None
        return hash_values({"items": self._dataset.content_hash, "pictures": pictures, "text": words})

    @property
    def has_image(self) -> NDArray[np.bool_]:
        """Which items have a readable picture that is read, (I,); whole once all items were read."""
        return np.zeros(len(self), dtype=bool) if self._pictures is None else self._pictures.cache.found

    @cached_property
    def has_text(self) -> NDArray[np.bool_]:
        """Which items have a text that is read, (I,)."""
        return items_with_text(self._dataset, self._columns) if self._reads_text else np.zeros(len(self), dtype=bool)

    def picture_report(self) -> PictureReport | None:
        """What became of the pictures, once all items were read; None where none are read."""
        return None if self._pictures is None else self._pictures.cache.report(self._dataset)

    def read(self, batches: Iterable[range]) -> Iterator[ItemBatch]:
        """The items of each of `batches`, which must be in order; then the cache of pictures is finished.

        Raises:
            ArtifactError: the disk is too small, or a process that decodes died.
        """
        if self._pictures is None:
            yield from map(self._batch, batches)
            return
        with closing(self._pictures.grow()) as growing:
            for items in batches:
                while self._pictures.ready < items.stop:
                    next(growing)
                yield self._batch(items)
            for _ in growing:
                pass

    def _batch(self, items: range) -> ItemBatch:
        rows = np.arange(items.start, items.stop)
        if self._pictures is None:
            images = torch.zeros(len(items), 3, self._squares.size, self._squares.size, dtype=torch.uint8)
            has_image = np.zeros(len(items), dtype=bool)
        else:
            images, has_image = self._pictures.cache.load(rows), self._pictures.cache.has(rows)
        texts = item_texts(self._dataset, self._columns, rows=items) if self._reads_text else [""] * len(items)
        tokens = self._text.encode(texts, self._max_length)
        return ItemBatch(
            images, tokens.ids, tokens.padding, torch.from_numpy(has_image), torch.from_numpy(self.has_text[rows])
        )
