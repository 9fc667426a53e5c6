"""UIA as a plug-in: users close to the items they took (AlignRec, Liu et al., CIKM 2024, eq. 12).

L = weight · (1 − mean_b cos(h^u, h^i)) on the scored vectors of the batch's positives; nothing is detached.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from alignrec.losses.contrastive import cosine_alignment
from alignrec.losses.plugin import Plugin
from alignrec.settings import Settings
from alignrec.types import Batch, Representations

__all__ = ["UserItemAlignment", "UserItemAlignmentConfig"]


class UserItemAlignmentConfig(Settings):
    """Settings of UIA."""

    weight: float = Field(default=0.1, gt=0)
    """β of the AlignRec paper."""


class UserItemAlignment(Plugin[UserItemAlignmentConfig]):
    """Alignment of users with items; has no parameters and needs no features."""

    Config = UserItemAlignmentConfig
    # the paper has 0.1 and no grid: a decade to both sides
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {"weight": (0.01, 0.1, 1.0)}

    def forward(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """`pairs`."""
        users = reps.final.users.index_select(0, batch.users)  # (B, d)
        items = reps.final.items.index_select(0, batch.positives)  # (B, d)
        return {"pairs": self.config.weight * cosine_alignment(users, items)}
