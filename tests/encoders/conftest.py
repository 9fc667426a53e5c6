"""A small catalogue as an encoder reads it: 40 items of a drawn shop, 24 pixels, patches of 8."""

from dataclasses import replace

import pytest
import torch

from alignrec.data import Dataset, ShopSettings, draw_shop
from alignrec.encoders.encoder_folder import Readers
from alignrec.encoders.image_cache import build_image_cache
from alignrec.encoders.image_resizing import ImageSettings
from alignrec.encoders.item_texts import item_texts
from alignrec.encoders.multiway import MultiwayEncoder
from alignrec.encoders.multiway_settings import MultiwaySettings
from alignrec.encoders.patch_kmeans import PatchKMeans, PatchKMeansSettings
from alignrec.encoders.text_tokens import TextTokenizer, TextTokenizerSettings


@pytest.fixture(scope="session")
def shop_folder(tmp_path_factory):
    """Item 0 has no picture, item 1 no text, item 2 neither; read only."""
    folder = tmp_path_factory.mktemp("shop") / "shop"
    draw_shop(folder, settings=ShopSettings(items=40, users=10, image_size=24))
    for item in (0, 2):
        Dataset.load(folder).image_path(item).unlink()
    return folder


@pytest.fixture(scope="session")
def readers(shop_folder):
    """What reads the shop."""
    pytest.importorskip("sentencepiece")
    data = Dataset.load(shop_folder)
    images = ImageSettings(size=24)
    text = TextTokenizer.train(item_texts(data), TextTokenizerSettings(vocab_size=120))
    settings = PatchKMeansSettings(patch_size=8, vocab_size=8)
    visual = PatchKMeans.fit([build_image_cache(data, images).load(range(40))], settings)
    return Readers(images, text, visual, 20)


@pytest.fixture(scope="session")
def inputs(shop_folder, readers):
    """The shop's items."""
    whole = readers.inputs(Dataset.load(shop_folder))
    tokens, has_text = whole.tokens.copy(), whole.has_text.copy()
    tokens[1:3] = 1
    tokens[1:3, :2] = 0, 2
    has_text[1:3] = False
    return replace(whole, tokens=tokens, has_text=has_text)


@pytest.fixture
def encoder(readers):
    """Random weights."""
    settings = MultiwaySettings.preset(
        "tiny",
        layers=2,
        width=16,
        heads=2,
        ffn=32,
        image_size=24,
        text_vocab=readers.text.vocab_size,
        visual_vocab=readers.visual.vocab_size,
    )
    return MultiwayEncoder(settings, torch.Generator().manual_seed(0))
