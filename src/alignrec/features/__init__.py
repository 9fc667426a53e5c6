"""*Item vectors of any origin → FeatureTable, aligned to a dataset.*"""

from alignrec.features.store import import_features, list_features, load_features, require_usable_name, save_features
from alignrec.features.table import FeatureTable, fuse

__all__ = [
    "FeatureTable",
    "fuse",
    "import_features",
    "list_features",
    "load_features",
    "require_usable_name",
    "save_features",
]
