"""REG as a plug-in: items keep the similarities that their features have (AlignRec, CIKM 2024, eq. 11).

    L = weight · ‖ Z Zᵀ − C(F) ‖_F / B

over the batch's positives, with Z the item vectors of the content view and C(F) the cosines of the fixed features;
with several modalities, of all of them joined with rows of each scaled to length 1.

Where the content view is no part of what a host scores with (one that knows ids only), REG shapes that view alone and
reaches the host through another plug-in such as `cca`; `table=final` puts it on the scored item vectors instead.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from alignrec.losses.plugin import Needs, Plugin, PluginInputs
from alignrec.losses.similarity import similarity_regularizer_rows
from alignrec.settings import Settings
from alignrec.types import Batch, Representations

__all__ = ["FeatureSimilarity", "FeatureSimilarityConfig"]


class FeatureSimilarityConfig(Settings):
    """Settings of REG."""

    weight: float = Field(default=0.1, gt=0)
    """λ of the AlignRec paper."""
    form: Literal["dot", "cosine"] = "dot"
    """`dot` compares dot products of Z with the cosines (authors' code); `cosine` compares cosines (the paper)."""
    table: Literal["content", "final"] = "content"
    """Which item vectors Z are: those of the content view, or those that are scored."""


class FeatureSimilarity(Plugin[FeatureSimilarityConfig]):
    """The similarity regulariser; has no parameters of its own, and holds a fixed copy of the features."""

    Config = FeatureSimilarityConfig
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {"weight": (0.1, 0.2, 0.3, 0.4, 0.5)}

    def __init__(self, config: FeatureSimilarityConfig, inputs: PluginInputs, rng: torch.Generator) -> None:
        super().__init__(config, inputs, rng)
        tables = [normalize(torch.from_numpy(inputs.features[name])) for name in sorted(inputs.features)]
        self.register_buffer("features", torch.cat(tables, dim=1), persistent=False)  # (I, D)
        self.features: Tensor

    @classmethod
    def needs(cls, config: FeatureSimilarityConfig) -> Needs:
        """The features, and both views unless Z is what is scored."""
        return Needs(features=True, views=config.table == "content")

    def forward(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`items`."""
        items = reps.final.items if self.config.table == "final" else reps.views["content"].items
        features = self.features if reps.item_ids is None else self.features.index_select(0, reps.item_ids)
        return {
            "items": self.config.weight
            * similarity_regularizer_rows(items, features, batch.positives, self.config.form)
        }
