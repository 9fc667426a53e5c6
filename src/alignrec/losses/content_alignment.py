"""CCA as a plug-in: the content view of an item, and of a user, close to the behaviour view of the same.

AlignRec (Liu et al., CIKM 2024, eq. 10), in the form of its authors' code: both sides of unit length, one direction
from content to behaviour, the batch as candidates:

    L = weight · [ NCE(h_mm^i, h_id^i) + NCE(h_mm^u, h_id^u) ]
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from alignrec.losses.contrastive import info_nce_rows
from alignrec.losses.plugin import Needs, Plugin
from alignrec.settings import Settings
from alignrec.types import Batch, Representations

__all__ = ["ContentAlignment", "ContentAlignmentConfig"]


class ContentAlignmentConfig(Settings):
    """Settings of CCA."""

    weight: float = Field(default=0.01, gt=0)
    """α of the AlignRec paper."""
    temperature: float = Field(default=0.2, gt=0)
    """τ, divides the cosines."""


class ContentAlignment(Plugin[ContentAlignmentConfig]):
    """Alignment of the two views; has no parameters of its own."""

    Config = ContentAlignmentConfig
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {"weight": (1e-4, 1e-3, 5e-3, 1e-2, 0.1)}

    @classmethod
    def needs(cls, config: ContentAlignmentConfig) -> Needs:  # noqa: ARG003
        """Both views."""
        return Needs(views=True)

    def forward(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`items` and `users`."""
        content, behaviour, weight = reps.views["content"], reps.views["behaviour"], self.config.weight
        by_item = info_nce_rows(content.items, behaviour.items, batch.positives, self.config.temperature)
        by_user = info_nce_rows(content.users, behaviour.users, batch.users, self.config.temperature)
        return {"items": weight * by_item, "users": weight * by_user}
