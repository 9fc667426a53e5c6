import numpy as np
import pytest

from alignrec.data import Dataset, ShopSettings, draw_shop
from alignrec.errors import FeatureError, SettingsError
from alignrec.studies import extract_features, pretrain_encoder

pytest.importorskip("sentencepiece")

SETTINGS = {
    "encoder": {"layers": 1, "width": 16, "heads": 2, "ffn": 32, "image_size": 24},
    "training": {"steps": 2, "round_steps": 2, "batch_size": 8},
    "catalogue": {"visual_vocab": 8, "text_vocab": 120, "max_length": 20},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Read only but for its cache; item 0 has no picture."""
    folder = tmp_path_factory.mktemp("shop") / "shop"
    draw_shop(folder, settings=ShopSettings(items=40, users=20, image_size=24))
    Dataset.load(folder).image_path(0).unlink()
    return folder


@pytest.fixture(scope="module")
def trained(shop, tmp_path_factory):
    return pretrain_encoder(shop, out=tmp_path_factory.mktemp("encoders") / "ica", settings=SETTINGS, device="cpu")


def test_a_trained_encoder_describes_every_item(trained, shop):
    table = extract_features(trained.path, Dataset.load(shop), name="ica", settings={"pooling": "cls+bos"})
    assert (table.name, table.modality, table.matrix.shape) == ("ica", "image+text", (40, 32))
    assert table.provenance["extraction"]["pooling"] == "cls+bos"
    assert table.provenance["encoder"] == trained.description()["weights"]
    assert table.provenance["plan"]["seed"] == 0


def test_vectors_of_one_modality_say_so(trained, shop):
    tables = {
        m: extract_features(trained, Dataset.load(shop), name=m, settings={"modality": m}) for m in ("image", "text")
    }
    assert {m: table.modality for m, table in tables.items()} == {"image": "image", "text": "text"}
    assert not np.allclose(tables["image"].matrix, tables["text"].matrix, atol=1e-3)


def test_a_name_that_cannot_be_saved_is_refused_before_the_encoder_is_read(shop, tmp_path):
    with pytest.raises(FeatureError, match="feature name 'a/b' is not usable"):
        extract_features(tmp_path, Dataset.load(shop), name="a/b")


def test_an_unknown_pooling_is_refused(trained, shop):
    with pytest.raises(SettingsError, match=r"extract\.pooling"):
        extract_features(trained, Dataset.load(shop), name="x", settings={"pooling": "max"})
