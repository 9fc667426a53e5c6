"""*Raw files → Dataset: users, items, interactions in three splits, a catalogue.*"""

from alignrec.data.amazon import read_amazon
from alignrec.data.build import DEFAULT_CORE, build_dataset, build_into, default_core, default_split
from alignrec.data.catalogue import Catalogue
from alignrec.data.cleaning import CleaningReport, clean, k_core
from alignrec.data.dataset import SPLITS, Dataset, InteractionLog, Vocabulary
from alignrec.data.describe import DatasetDescription, describe, render
from alignrec.data.mmrec import read_mmrec
from alignrec.data.raw import ITEM_COLUMNS, RawData, SkipLog
from alignrec.data.sampling import EpochSampler
from alignrec.data.shop import ATTRIBUTES_FILE, ShopSettings, draw_shop
from alignrec.data.splitting import (
    SPLIT_RULES,
    GivenSplit,
    LeaveOneOutSplit,
    MmrecSplit,
    RatioSplit,
    SplitFamily,
    SplitRule,
    TemporalSplit,
    split_family,
    split_interactions,
    split_rule,
)
from alignrec.data.table_settings import TableSettings
from alignrec.data.tables import read_tables

__all__ = [
    "ATTRIBUTES_FILE",
    "DEFAULT_CORE",
    "ITEM_COLUMNS",
    "SPLITS",
    "SPLIT_RULES",
    "Catalogue",
    "CleaningReport",
    "Dataset",
    "DatasetDescription",
    "EpochSampler",
    "GivenSplit",
    "InteractionLog",
    "LeaveOneOutSplit",
    "MmrecSplit",
    "RatioSplit",
    "RawData",
    "ShopSettings",
    "SkipLog",
    "SplitFamily",
    "SplitRule",
    "TableSettings",
    "TemporalSplit",
    "Vocabulary",
    "build_dataset",
    "build_into",
    "clean",
    "default_core",
    "default_split",
    "describe",
    "draw_shop",
    "k_core",
    "read_amazon",
    "read_mmrec",
    "read_tables",
    "render",
    "split_family",
    "split_interactions",
    "split_rule",
]
