"""Backbones by name: one table, one function that makes a backbone from settings and training data.

The table grows: `register_model` adds a class from outside the package, which is then trained by its name.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch

from alignrec.models.alignrec import AlignRec
from alignrec.models.base import Backbone
from alignrec.models.bm3 import BM3
from alignrec.models.bpr import BPR
from alignrec.models.directau import DirectAU
from alignrec.models.dream import DREAM
from alignrec.models.dualgnn import DualGNN
from alignrec.models.freedom import FREEDOM
from alignrec.models.grcn import GRCN
from alignrec.models.lattice import LATTICE
from alignrec.models.lgmrec import LGMRec
from alignrec.models.lightgcn import LightGCN
from alignrec.models.mgcn import MGCN
from alignrec.models.mmgcn import MMGCN
from alignrec.models.ncl import NCL
from alignrec.models.sgl import SGL
from alignrec.models.slmrec import SLMRec
from alignrec.models.vbpr import VBPR
from alignrec.settings import add_configurable, find_configurable
from alignrec.types import TrainData

__all__ = ["MODELS", "create_model", "model_class", "register_model"]

# Any: a backbone of any settings class
_MODELS: dict[str, type[Backbone[Any]]] = {
    "bpr": BPR,
    "lightgcn": LightGCN,
    "sgl": SGL,
    "directau": DirectAU,
    "ncl": NCL,
    "vbpr": VBPR,
    "mmgcn": MMGCN,
    "grcn": GRCN,
    "dualgnn": DualGNN,
    "lattice": LATTICE,
    "slmrec": SLMRec,
    "bm3": BM3,
    "freedom": FREEDOM,
    "mgcn": MGCN,
    "lgmrec": LGMRec,
    "dream": DREAM,
    "alignrec": AlignRec,
}
MODELS: Mapping[str, type[Backbone[Any]]] = MappingProxyType(_MODELS)  # grows with `register_model`


def register_model(name: str, cls: type[Backbone[Any]]) -> None:
    """Let `cls` be trained as `name` in this process: `alignrec.train(..., model=name)`.

    The same class may be registered again, as by a notebook's cell that runs twice; its latest form counts.

    Raises:
        SettingsError: the name is taken or not usable, or `cls` is no `Backbone` with a `Config`.
    """
    add_configurable(_MODELS, "model", name, cls, Backbone)


def model_class(name: str) -> type[Backbone[Any]]:
    """The backbone called `name` (case does not matter).

    Raises:
        SettingsError: no such model.
    """
    return find_configurable(MODELS, "model", name)


def create_model(
    name: str, data: TrainData, rng: torch.Generator, settings: Mapping[str, Any] | None = None
) -> Backbone[Any]:
    """Make the backbone `name` with its initial parameters drawn from `rng`.

    Raises:
        SettingsError: unknown model or setting, or features that the model needs are missing.
    """
    cls = model_class(name)
    backbone: Backbone[Any] = cls(cls.Config.create(settings, section="model"), data, rng)  # type: ignore[call-arg]
    return backbone
