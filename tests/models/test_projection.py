import numpy as np
import pytest
import torch

from alignrec.errors import SettingsError
from alignrec.models.projection import FeatureProjections, affine, linear, modality_shares, trained_tables

FEATURES = {
    "clip.v1": np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32),
    "items": np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32),
}


def make(trainable: bool = True) -> FeatureProjections:
    return FeatureProjections(FEATURES, 4, torch.Generator().manual_seed(0), trainable=trainable)


def test_rows_alone_give_the_rows_of_all_whatever_the_features_are_called() -> None:
    parts, rows = make(), torch.tensor([4, 1])
    every, some = parts(), parts(rows)
    assert list(every) == ["clip.v1", "items"]
    for name, table in every.items():
        layer = parts.of[parts.names.index(name)].linear
        expected = torch.from_numpy(FEATURES[name]) @ layer.weight.t() + layer.bias
        torch.testing.assert_close(table, expected)
        torch.testing.assert_close(some[name], expected[rows])


def test_fixed_features_are_neither_trained_nor_saved() -> None:
    assert {name for name, _ in make(trainable=False).named_parameters()} == set(make(trainable=False).state_dict())
    assert not any("table" in name for name in make(trainable=False).state_dict())
    assert "of.0.table" in make().state_dict()


def test_training_does_not_write_into_the_data() -> None:
    before, parts = FEATURES["items"].copy(), make()
    with torch.no_grad():
        parts.of[1].table.zero_()
    assert np.array_equal(FEATURES["items"], before)


def test_a_layer_is_drawn_like_torchs_own() -> None:
    rng = torch.Generator().manual_seed(0)
    uniform, normal = linear(400, 300, rng).requires_grad_(False), linear(400, 300, rng, "xavier_normal", bias=False)
    assert uniform.weight.abs().max() <= 0.05
    assert abs(float(uniform.weight.std()) / (0.05 / 3**0.5) - 1) < 0.01
    assert uniform.bias.abs().max() <= 0.05
    assert abs(float(uniform.bias.std()) / (0.05 / 3**0.5) - 1) < 0.1
    assert abs(float(normal.weight.detach().std()) / (2 / 700) ** 0.5 - 1) < 0.01
    assert normal.bias is None
    uniform = linear(400, 300, rng, "xavier_uniform").requires_grad_(False)
    bound = (6 / 700) ** 0.5
    assert uniform.weight.abs().max() <= bound
    assert abs(float(uniform.weight.std()) / (bound / 3**0.5) - 1) < 0.01


def test_a_layer_through_the_fast_product_gives_what_torchs_own_gives() -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(7, 5, generator=rng)
    for bias in (True, False):
        layer = linear(5, 3, rng, bias=bias)
        torch.testing.assert_close(affine(layer, x), layer(x))


def test_weights_of_modalities_are_shares_and_equal_by_default() -> None:
    assert modality_shares(None, ("image", "text")) == {"image": 0.5, "text": 0.5}
    assert modality_shares({"text": 3, "image": 1}, ("image", "text")) == {"image": 0.25, "text": 0.75}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"image": 1.0, "audio": 1.0}, "names image, audio; give one weight for each .*: image, text"),
        ({"image": 1.0}, "names image; give one weight for each .*: image, text"),
        ({"image": -1.0, "text": 2.0}, "give weights >= 0 that are not all 0"),
        ({"image": 0.0, "text": 0.0}, "give weights >= 0 that are not all 0"),
    ],
)
def test_weights_that_do_not_fit_the_modalities_are_refused(weights, message) -> None:
    with pytest.raises(SettingsError, match=message):
        modality_shares(weights, ("image", "text"))


def test_tables_that_are_trained_are_found_wherever_they_are():
    model = torch.nn.ModuleDict({"outer": torch.nn.Sequential(make())})
    assert trained_tables(model) == list(model["outer"][0].of)
    assert trained_tables(make(trainable=False)) == []
    model["outer"][0].of[0].table.requires_grad_(False)
    assert trained_tables(model) == [model["outer"][0].of[1]]
