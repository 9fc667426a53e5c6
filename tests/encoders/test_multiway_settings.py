import pytest

from alignrec.encoders.multiway_settings import MULTIWAY_PRESETS, MultiwaySettings
from alignrec.errors import SettingsError


def test_base_is_the_default_and_has_beit3s_shape():
    base = MultiwaySettings.preset("base")
    assert base == MultiwaySettings()
    assert (base.layers, base.width, base.heads, base.ffn, base.patches) == (12, 768, 12, 3072, 196)


@pytest.mark.parametrize("name", MULTIWAY_PRESETS)
def test_every_preset_is_valid_and_takes_any_depth(name):
    assert MultiwaySettings.preset(name, layers=20).layers == 20


def test_an_unknown_preset_is_refused_with_the_nearest():
    with pytest.raises(SettingsError, match=r"'bse'; did you mean 'base'\? allowed: tiny, small, base, large"):
        MultiwaySettings.preset("bse")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"heads": 5}, "heads=5 does not divide width=128"),
        ({"patch_size": 7}, "patch_size=7 does not divide image_size=48"),
        ({"depth": 3}, "unknown setting 'encoder.depth'"),
        ({"drop_path": 1.0}, r"'encoder.drop_path' cannot be 1\.0"),
    ],
)
def test_shapes_that_cannot_be_are_refused(changed, message):
    with pytest.raises(SettingsError, match=message):
        MultiwaySettings.preset("tiny", **changed)
