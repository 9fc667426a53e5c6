"""Recommendations from a trained run, in the user's own ids: the same ranking that evaluation measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from alignrec.data import Dataset, Vocabulary
from alignrec.errors import UsageError
from alignrec.ranking import top_k, top_k_similar
from alignrec.studies import Run
from alignrec.types import Embeddings, Interactions, Ranking

__all__ = ["Exclude", "Recommender"]

Exclude = Literal["all", "train", "none"]


@dataclass(frozen=True)
class Recommender:
    """A run's embeddings and its dataset; answers `recommend`, `similar` and `history`."""

    dataset: Dataset
    embeddings: Embeddings

    @classmethod
    def load(cls, run: str | Path, dataset: str | Path | None = None) -> Self:
        """The recommender of the finished run in folder `run`; `dataset` says where the dataset is if it has moved.

        Raises:
            ArtifactError: no finished run, or the dataset is another one.
        """
        opened = Run.open(run)
        return cls(opened.dataset(dataset), opened.embeddings())

    def recommend(self, users: Sequence[str], k: int = 10, *, exclude: Exclude = "all") -> pl.DataFrame:
        """The k best items of each user.

        Args:
            users: the user's own ids.
            k: items per user; fewer come back where a user has fewer candidates.
            exclude: what is left out: `all` known interactions, those of the `train` split, or `none`.

        Returns:
            Columns user_id, rank (1 first), item_id, title, score.

        Raises:
            DataError: an unknown user.
            UsageError: k below 1 or an unknown `exclude`.
        """
        rows = _indices(self.dataset.users, users)
        ranking = top_k(
            self.embeddings.users, self.embeddings.items, self._length(k), exclude=self._excluded(exclude), rows=rows
        )
        return self._frame("user_id", users, ranking)

    def similar(self, items: Sequence[str], k: int = 10) -> pl.DataFrame:
        """The k items nearest to each item by the cosine of their embeddings, the item itself left out.

        Returns:
            Columns to_item_id, rank, item_id, title, score.

        Raises:
            DataError: an unknown item.
        """
        rows = _indices(self.dataset.items, items)
        ranking = top_k_similar(self.embeddings.items, self._length(k), rows=rows)
        return self._frame("to_item_id", items, ranking)

    def history(self, user: str, *, split: str = "train") -> pl.DataFrame:
        """The items a user took in `split`: columns item_id, title.

        Raises:
            DataError: an unknown user or split.
        """
        items = self.dataset.split(split)[[self.dataset.users.index(user)]].indices
        return pl.DataFrame({"item_id": [self.dataset.items.ids[i] for i in items], "title": self._titles(items)})

    def _excluded(self, exclude: str) -> Interactions | None:
        if exclude not in get_args(Exclude):
            raise UsageError(f"cannot exclude {exclude!r}; allowed: {', '.join(get_args(Exclude))}")
        if exclude == "none":
            return None
        return self.dataset.interactions if exclude == "all" else self.dataset.split("train")

    def _length(self, k: int) -> int:
        """Of the lists: there are no more places than items."""
        if k < 1:
            raise UsageError(f"k must be at least 1, not {k}")
        return min(k, self.dataset.n_items)

    @cached_property
    def _all_titles(self) -> pl.Series:
        return self.dataset.catalogue.column("title")

    def _titles(self, items: NDArray[np.integer]) -> list[str]:
        return [title or "" for title in self._all_titles.gather(items.tolist()).to_list()]

    def _frame(self, key: str, asked: Sequence[str], ranking: Ranking) -> pl.DataFrame:
        items, scores = ranking.items.cpu().numpy(), ranking.scores.cpu().numpy()
        kept = items >= 0
        flat = items[kept]
        return pl.DataFrame(
            {
                key: np.repeat(np.asarray(asked, dtype=object), kept.sum(axis=1)).tolist(),
                "rank": np.broadcast_to(np.arange(1, items.shape[1] + 1), items.shape)[kept],
                "item_id": [self.dataset.items.ids[item] for item in flat],
                "title": self._titles(flat),
                "score": scores[kept].astype(np.float64),
            },
            schema_overrides={key: pl.String, "item_id": pl.String, "title": pl.String},
        )


def _indices(vocabulary: Vocabulary, ids: Sequence[str]) -> NDArray[np.int64]:
    if isinstance(ids, str):
        raise UsageError(f"give a list of ids, not the single string {ids!r}")
    return np.array([vocabulary.index(key) for key in ids], dtype=np.int64)
