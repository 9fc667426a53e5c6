"""*Item vectors of any origin → FeatureTable, aligned to a dataset.*"""

from alignrec.features.store import (
    import_features,
    joined_names,
    list_features,
    load_features,
    read_description,
    require_usable_name,
    save_features,
)
from alignrec.features.table import RAW_JOIN, FeatureTable, fuse

__all__ = [
    "RAW_JOIN",
    "FeatureTable",
    "fuse",
    "import_features",
    "joined_names",
    "list_features",
    "load_features",
    "read_description",
    "require_usable_name",
    "save_features",
]
