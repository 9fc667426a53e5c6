"""BM3's alignment as a plug-in: content vectors predict the id vector of their item, and themselves under dropout.

BM3: Zhou et al., Bootstrap latent representations for multi-modal recommendation, WWW 2023; as an addition to other
recommenders it is the competitor in table 2 of FETTLE (Li et al., SIGIR 2024), which describes it in one sentence.
With i the scored item vectors, m a modality's, P a linear predictor shared by all, drop dropout and sg a constant:

    L = weight · Σ_m { [1 − mean cos(P(m), drop(i))] + [1 − mean cos(P(m), sg drop(m))] }

The gradient goes into the host's item vectors, as it must have done in the hosts that collapse in that table. Constant
targets sg drop(i), as in BM3 itself, are `detach_id=true`: of use only to a host that computes content vectors itself.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import dropout

from alignrec.losses.contrastive import cosine_alignment
from alignrec.losses.plugin import Needs, Plugin, PluginInputs
from alignrec.ops import matmul
from alignrec.settings import Settings
from alignrec.types import Batch, Representations

__all__ = ["Bm3Alignment", "Bm3AlignmentConfig"]


class Bm3AlignmentConfig(Settings):
    """Settings of BM3's alignment."""

    weight: float = Field(default=0.01, gt=0)
    """w of the whole; searched between 1e-4 and 2."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Share of a target's coordinates that are dropped."""
    detach_id: bool = False
    """Whether the id vectors are constant targets; false lets the alignment move the host's item vectors. Refused where
    the host computes no content vectors of its own, since nothing that is scored would move."""


class Bm3Alignment(Plugin[Bm3AlignmentConfig]):
    """Bootstrapped alignment of content with ids; its parameters are the predictor P."""

    Config = Bm3AlignmentConfig
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {"weight": (1e-4, 1e-3, 1e-2, 0.1, 1.0, 2.0)}

    def __init__(self, config: Bm3AlignmentConfig, inputs: PluginInputs, rng: torch.Generator) -> None:
        super().__init__(config, inputs, rng)
        self.modalities = inputs.modalities
        weight = torch.empty(inputs.size, inputs.size)
        self.predictor = nn.Parameter(nn.init.xavier_normal_(weight, generator=rng))  # (d, d), y = x Wᵀ + b
        self.predictor_bias = nn.Parameter(torch.zeros(inputs.size))

    @classmethod
    def needs(cls, config: Bm3AlignmentConfig) -> Needs:
        """Content vectors; the host's own where nothing else of the host could move."""
        return Needs(content=True, of_host="detach_id=true" if config.detach_id else None)

    def forward(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`id`: modalities predict the id vector; `self`: they predict themselves. Sums over modalities."""
        config = self.config
        ids = reps.final.items.index_select(0, batch.positives)  # (B, d)
        to_id, to_self = [], []
        for modality in self.modalities:
            vectors = reps.content[modality].index_select(0, batch.positives)  # (B, d)
            predicted = matmul(vectors, self.predictor.t()) + self.predictor_bias
            to_id.append(cosine_alignment(predicted, self._target(ids, config.detach_id)))
            to_self.append(cosine_alignment(predicted, self._target(vectors, True)))
        return {"id": config.weight * torch.stack(to_id).sum(), "self": config.weight * torch.stack(to_self).sum()}

    def _target(self, vectors: Tensor, constant: bool) -> Tensor:
        source = vectors.detach() if constant else vectors
        return dropout(source, self.config.dropout, self.training)
