"""BMA: alignment inside and between a behaviour view and a content view (DREAM, arXiv 2404.11119).

With B the behaviour view, M the content view, and NCE the contrastive loss over the batch's users and positives:

    L = intra_weight · [ NCE(B^u, B^i) + NCE(M^u, M^i) ] + inter_weight · [ NCE(B^u, M^u) + NCE(B^i, M^i) ]
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator
from torch import Tensor

from alignrec.losses.contrastive import info_nce, info_nce_rows
from alignrec.losses.plugin import Needs, Plugin
from alignrec.settings import Settings
from alignrec.types import Batch, Embeddings, Representations

__all__ = ["Bma", "BmaConfig", "behaviour_modal_alignment"]


class BmaConfig(Settings):
    """Settings of BMA."""

    intra_weight: float = Field(default=0.01, ge=0)
    """α: users with the items they took, inside each view; 0 leaves it out (for a host that has its own)."""
    inter_weight: float = Field(default=0.01, ge=0)
    """β: the behaviour view with the content view, for users and for items; 0 leaves it out."""
    temperature: float = Field(default=0.2, gt=0)
    """τ, divides the cosines."""

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.intra_weight == 0 and self.inter_weight == 0:
            raise ValueError("both weights are 0, so nothing is left; give one of them a value")
        return self


class Bma(Plugin[BmaConfig]):
    """Behaviour-modal alignment; has no parameters of its own."""

    Config = BmaConfig
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {"intra_weight": (0.01, 0.03), "inter_weight": (0.01, 0.03)}

    @classmethod
    def needs(cls, config: BmaConfig) -> Needs:  # noqa: ARG003
        """Both views."""
        return Needs(views=True)

    def forward(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """Those of `intra` and `inter` whose weight is not zero."""
        behaviour, content, config = reps.views["behaviour"], reps.views["content"], self.config
        return behaviour_modal_alignment(
            behaviour, content, batch, config.intra_weight, config.inter_weight, config.temperature
        )


def behaviour_modal_alignment(
    behaviour: Embeddings,
    content: Embeddings,
    batch: Batch,
    intra_weight: float,
    inter_weight: float,
    temperature: float,
) -> dict[str, Tensor]:
    """The weighted terms `intra` and `inter` of two views; one whose weight is 0 is left out."""
    terms = {}
    if intra_weight:
        inside = _users_to_items(behaviour, batch, temperature) + _users_to_items(content, batch, temperature)
        terms["intra"] = intra_weight * inside
    if inter_weight:
        users = info_nce_rows(behaviour.users, content.users, batch.users, temperature)
        items = info_nce_rows(behaviour.items, content.items, batch.positives, temperature)
        terms["inter"] = inter_weight * (users + items)
    return terms


def _users_to_items(view: Embeddings, batch: Batch, temperature: float) -> Tensor:
    users = view.users.index_select(0, batch.users)  # (B, d)
    items = view.items.index_select(0, batch.positives)  # (B, d)
    return info_nce(users, items, temperature, groups_x=batch.users, groups_y=batch.positives)
