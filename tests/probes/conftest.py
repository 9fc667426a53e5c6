"""A drawn shop with its features and a trained encoder's; item 0 has no picture, item 1 no text, item 2 neither."""

import polars as pl
import pytest

from alignrec.data import Catalogue, Dataset, ShopSettings, draw_shop
from alignrec.encoders import extract_builtin
from alignrec.features import save_features
from alignrec.studies import extract_features, pretrain_encoder

SETTINGS = {
    "encoder": {"layers": 1, "width": 16, "heads": 2, "ffn": 32, "image_size": 24},
    "training": {"steps": 2, "round_steps": 2, "batch_size": 8},
    "catalogue": {"visual_vocab": 8, "text_vocab": 120, "max_length": 20},
}


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """Read only but for its cache; features `pixels` and `tfidf`."""
    drawn, folder = (tmp_path_factory.mktemp("probes") / name for name in ("drawn", "shop"))
    data = draw_shop(drawn, settings=ShopSettings(items=40, users=30, image_size=24))
    for item in (0, 2):
        data.image_path(item).unlink()
    silent = pl.col("item_id").is_in([data.items.ids[1], data.items.ids[2]])
    words = [name for name in ("title", "brand", "categories", "description") if name in data.catalogue.schema]
    catalogue = data.catalogue.frame.with_columns(
        pl.when(silent).then(None).otherwise(pl.col(name)).alias(name) for name in words
    ).with_columns(pl.lit(str(drawn) + "/").add(pl.col("image")).alias("image"))
    data = Dataset(data.name, data.users, data.items, data.log, Catalogue(catalogue)).save(folder)
    for name in ("pixels", "tfidf"):
        save_features(folder / "features", extract_builtin(name, data, settings={"components": 8}))
    return data


@pytest.fixture(scope="session")
def trained(shop, tmp_path_factory):
    """An encoder of two steps; its vectors are the shop's features `ica` (centred), `white` and `plain`."""
    pytest.importorskip("sentencepiece")
    folder = pretrain_encoder(
        shop.path, out=tmp_path_factory.mktemp("encoders") / "ica", settings=SETTINGS, device="cpu"
    )
    for name, post in (("ica", "center"), ("white", "whiten"), ("plain", "none")):
        table = extract_features(folder, shop, name=name, settings={"post": post}, device="cpu")
        save_features(shop.path / "features", table)
    return folder
