"""Multimodal recommendation from a catalogue's pictures and texts: `alignrec.Dataset`, `alignrec.train`, `alignrec.Recommender`.

Names are loaded when first used, so that importing `alignrec` alone imports neither torch nor polars.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0.dev0"

_PUBLIC = {
    "AlignrecError": "alignrec.errors",
    "Dataset": "alignrec.data",
    "FeatureTable": "alignrec.features",
}

__all__ = ["AlignrecError", "Dataset", "FeatureTable", "__version__"]


def __getattr__(name: str) -> Any:  # Any: the attribute's own type
    if name not in _PUBLIC:
        raise AttributeError(f"module 'alignrec' has no attribute {name!r}; public names: {', '.join(__all__)}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
