"""What every plug-in is: losses that attach to any backbone and touch none of it.

A plug-in sees what a backbone represents and the batch, nothing else. What it needs beyond user and item vectors it
says with `needs`; whoever attaches it provides that, or refuses before training starts.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from alignrec.settings import Settings
from alignrec.types import Batch, FloatMatrix, Representations

__all__ = ["Needs", "Plugin", "PluginInputs"]

C = TypeVar("C", bound=Settings)


@dataclass(frozen=True)
class Needs:
    """What a plug-in reads besides `Representations.final`."""

    content: bool = False
    """`content`: item vectors of at least one modality, as wide as those that are scored."""
    views: bool = False
    """`views["behaviour"]` and `views["content"]`, of one width."""
    features: bool = False
    """The features themselves, fixed."""
    of_host: str | None = None
    """The setting under which only content vectors that the backbone itself computes will do: projected ones would be
    trained without effect on what is scored. None where projected ones will do."""


@dataclass(frozen=True)
class PluginInputs:
    """What a plug-in is built for."""

    size: int
    """Length d of the vectors that are scored."""
    modalities: tuple[str, ...] = ()
    """The keys that `Representations.content` will have; none where no plug-in needs them."""
    features: Mapping[str, FloatMatrix] = field(default_factory=dict)
    """Modality -> (I, d_m), for those who need the features themselves."""


class Plugin(nn.Module, ABC, Generic[C]):
    """Extra losses; their parameters train with a backbone's and are not part of what is served.

    Initial parameters are drawn from `rng` alone. What is derived from features is kept in non-persistent buffers.
    """

    Config: ClassVar[type[Settings]]
    search_space: ClassVar[Mapping[str, tuple[Any, ...]]] = {}  # a key of `Config` -> what is searched
    search_space_of_ids: ClassVar[Mapping[str, tuple[Any, ...]]] = {}  # instead, with a backbone that knows ids only

    config: C

    def __init__(self, config: C, inputs: PluginInputs, rng: torch.Generator) -> None:  # noqa: ARG002  (of those with parameters)
        super().__init__()
        self.config = config

    @classmethod
    def needs(cls, config: Any) -> Needs:  # noqa: ARG003  Any: the C of the subclass, which a class method cannot name
        """What must be there for a plug-in with these settings. Default: nothing."""
        return Needs()

    @abstractmethod
    def forward(self, reps: Representations, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms, already weighted: their sum is added to the backbone's loss on `batch`.

        `batch` counts in the rows of the tables in `reps`; `reps.item_ids` says which items these are.
        """
