import pytest

from alignrec.data import ShopSettings, draw_shop
from alignrec.encoders import BUILTIN_ENCODERS, extract_builtin
from alignrec.errors import SettingsError, UsageError


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    settings = ShopSettings(items=40, users=10, image_size=16)
    return draw_shop(tmp_path_factory.mktemp("shop") / "shop", settings=settings)


def test_every_builtin_encoder_describes_every_item(shop):
    for name in BUILTIN_ENCODERS:
        table = extract_builtin(name, shop)
        assert table.name == name
        assert list(table.item_ids) == list(shop.items.ids)


def test_name_and_settings_are_passed_on(shop):
    table = extract_builtin("tfidf", shop, name="words", settings={"components": 3})
    assert (table.name, table.size) == ("words", 3)


def test_an_unknown_encoder_lists_the_known_ones(shop):
    with pytest.raises(UsageError, match="unknown encoder 'resnet'; built in: pixels, tfidf"):
        extract_builtin("resnet", shop)


def test_an_unknown_setting_is_an_error_that_names_the_nearest(shop):
    with pytest.raises(SettingsError, match=r"'pixels.sise'; did you mean 'size'"):
        extract_builtin("pixels", shop, settings={"sise": 3})
