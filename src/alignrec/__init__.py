"""Multimodal recommendation from a catalogue's pictures and texts.

`alignrec.Dataset`, `alignrec.train`, `alignrec.evaluate`, `alignrec.Recommender`, and so on. Names are loaded when
first used, so that importing `alignrec` alone imports neither torch nor polars.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alignrec.data import Dataset
    from alignrec.errors import AlignrecError
    from alignrec.features import FeatureTable
    from alignrec.probes import probe
    from alignrec.serving import Recommender
    from alignrec.studies import Run, compare, evaluate, retrain, train

__version__ = version("alignrec")

_HOME = {
    "AlignrecError": "alignrec.errors",
    "Dataset": "alignrec.data",
    "FeatureTable": "alignrec.features",
    "Recommender": "alignrec.serving",
    "Run": "alignrec.studies",
    "compare": "alignrec.studies",
    "evaluate": "alignrec.studies",
    "probe": "alignrec.probes",
    "retrain": "alignrec.studies",
    "train": "alignrec.studies",
}

__all__ = [
    "AlignrecError",
    "Dataset",
    "FeatureTable",
    "Recommender",
    "Run",
    "__version__",
    "compare",
    "evaluate",
    "probe",
    "retrain",
    "train",
]


def __getattr__(name: str) -> Any:  # Any: the attribute's own type
    if name not in _HOME:
        raise AttributeError(f"module 'alignrec' has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
