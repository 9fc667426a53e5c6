import pytest
import torch

from alignrec.errors import SettingsError
from alignrec.losses import PluginInputs, create_plugin
from alignrec.types import Batch, Embeddings, Representations

REPS = Representations(Embeddings(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [1.0, 0.0]])))


def test_is_one_minus_the_mean_cosine_of_users_and_their_items() -> None:
    plugin = create_plugin("uia", PluginInputs(2), torch.Generator(), {"weight": 0.5})
    pairs = Batch(torch.tensor([1, 0, 1]), torch.tensor([0, 1, 1]), torch.tensor([1, 0, 0]))  # cosines 0, 1 and 0
    assert plugin(REPS, pairs)["pairs"].item() == pytest.approx(0.5 * (1 - 1 / 3))


def test_a_weight_of_zero_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"'plugin\.uia\.weight' cannot be 0"):
        create_plugin("uia", PluginInputs(2), torch.Generator(), {"weight": 0})
