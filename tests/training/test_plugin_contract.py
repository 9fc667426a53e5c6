"""What every plug-in must do on every backbone, whatever either of them models."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from alignrec.errors import SettingsError
from alignrec.losses import PLUGINS
from alignrec.models import MODELS, Backbone, create_model
from alignrec.ranking import top_k
from alignrec.training import Objective, attach_plugins, embed
from alignrec.types import Batch, TrainData

SMALL = {"embedding_size": 8, "n_neighbors": 3, "n_user_neighbors": 3, "n_prototypes": 3}
SMALL_PLUGIN = {"user_item_prototypes": 6, "content_prototypes": 7}


@pytest.fixture(params=sorted(MODELS))
def model(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=sorted(PLUGINS))
def plugin(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def data() -> TrainData:
    return shop(3)


def shop(n_modalities: int) -> TrainData:
    """Twelve users and nine items; the last item has no interaction, the last user only one."""
    rng = np.random.default_rng(1)
    matrix = (rng.random((12, 9)) < 0.4).astype(np.float32)
    matrix[:, 8] = 0
    matrix[11] = 0
    matrix[:, 0] = 1
    widths = {"image.v1": 5, "text": 3, "audio": 8}
    names = list(widths)[:n_modalities]
    features = {name: rng.normal(size=(9, widths[name])).astype(np.float32) for name in names}
    return TrainData(sparse.csr_array(matrix), features)


def batch_of(data: TrainData) -> Batch:
    coo = data.interactions.tocoo()
    users, positives = torch.from_numpy(coo.row).long(), torch.from_numpy(coo.col).long()
    return Batch(users, positives, (positives + 1) % data.n_items)


def known(settings: dict[str, Any], cls: type) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key in cls.Config.model_fields}


def backbone_of(model: str, data: TrainData, seed: int = 0) -> Backbone[Any]:
    made = create_model(model, data, torch.Generator().manual_seed(seed), known(SMALL, MODELS[model]))
    made.start_epoch(torch.Generator().manual_seed(seed))
    return made


def plugged(model: str, data: TrainData, plugin: str, seed: int = 0) -> Objective:
    settings = {plugin: known(SMALL_PLUGIN, PLUGINS[plugin])}
    return attach_plugins(backbone_of(model, data, seed), data, settings, seed)


def own(terms: dict[str, torch.Tensor], plugin: str) -> dict[str, torch.Tensor]:
    return {name: term for name, term in terms.items() if name.startswith(f"{plugin}.")}


def losses(objective: Objective, batch: Batch) -> dict[str, torch.Tensor]:
    """One evaluation whose draws (dropout) repeat."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return objective(batch)


def trained(objective: Objective, batch: Batch, steps: int = 2) -> Objective:
    optimizer = torch.optim.Adam([p for p in objective.parameters() if p.requires_grad], lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(losses(objective, batch).values()).backward()
        optimizer.step()
    return objective


@pytest.mark.parametrize("n_modalities", [1, 3])
def test_adds_finite_named_scalars_and_changes_nothing_else(model: str, plugin: str, n_modalities: int) -> None:
    data = shop(n_modalities)
    batch, before = batch_of(data), torch.random.get_rng_state()
    objective, alone = plugged(model, data, plugin), Objective(backbone_of(model, data))
    assert torch.equal(before, torch.random.get_rng_state()), "attaching draws from the global generator"
    for key, value in alone.backbone.state_dict().items():
        assert torch.equal(value, objective.backbone.state_dict()[key]), key
    terms, expected = losses(objective, batch), losses(alone, batch)
    assert own(terms, plugin), "a plug-in adds something"
    assert all(term.shape == () and bool(torch.isfinite(term)) for term in terms.values())
    assert set(terms) - set(own(terms, plugin)) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-5, atol=1e-7, msg=name)


def test_every_parameter_of_a_plugin_gets_a_gradient_in_float64_too(model: str, plugin: str, data: TrainData) -> None:
    objective = plugged(model, data, plugin).double()
    terms = losses(objective, batch_of(data))
    assert all(term.dtype is torch.float64 for term in terms.values())
    sum(own(terms, plugin).values()).backward()
    for name, parameter in objective.named_parameters():
        if parameter.grad is not None:
            assert bool(torch.isfinite(parameter.grad).all()), name
        if not name.startswith("backbone."):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_the_same_seed_trains_to_the_same_bytes_and_loaded_weights_go_on_alike(
    model: str, plugin: str, data: TrainData
) -> None:
    batch = batch_of(data)
    first, second = (trained(plugged(model, data, plugin, seed=3), batch) for _ in range(2))
    loaded, other = plugged(model, data, plugin, seed=6), second.state_dict()
    assert all(torch.equal(value, other[key]) for key, value in first.state_dict().items())
    loaded.load_state_dict(first.state_dict())
    ours, theirs = (top_k(e.users, e.items, 5) for e in (embed(first), embed(loaded)))
    assert torch.equal(ours.items, theirs.items)
    assert torch.equal(ours.scores, theirs.scores)
    for objective in (first, loaded):  # what an epoch draws or builds is not part of the weights
        objective.train()
        objective.backbone.start_epoch(torch.Generator().manual_seed(1))
    expected, found = (losses(objective, batch) for objective in (first, loaded))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_batch_of_one_pair_is_enough(model: str, plugin: str, data: TrainData) -> None:
    """The user with one interaction, and an item without any as the negative."""
    one = Batch(torch.tensor([11]), torch.tensor([0]), torch.tensor([8]))
    terms = losses(plugged(model, data, plugin), one)
    assert all(bool(torch.isfinite(term)) for term in terms.values())


@pytest.mark.gpu
def test_trains_on_cuda_as_on_the_cpu(model: str, plugin: str, data: TrainData) -> None:
    results = []
    for device in ("cpu", "cuda"):
        objective = plugged(model, data, plugin).to(device).eval()
        terms = objective(batch_of(data).to(torch.device(device)))
        results.append(torch.stack(list(terms.values())).cpu())
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_all_plugins_attach_at_once(model: str, data: TrainData) -> None:
    settings = {name: known(SMALL_PLUGIN, PLUGINS[name]) for name in PLUGINS}
    terms = losses(attach_plugins(backbone_of(model, data), data, settings, 0), batch_of(data))
    assert {name.partition(".")[0] for name in terms if "." in name} == set(PLUGINS)
    backwards = dict(reversed(settings.items()))
    again = losses(attach_plugins(backbone_of(model, data), data, backwards, 0), batch_of(data))
    assert list(again) == list(terms)
    assert all(torch.equal(again[name], terms[name]) for name in terms)


def test_settings_survive_a_round_trip(plugin: str) -> None:
    config = PLUGINS[plugin].Config()
    assert type(config)(**config.model_dump()) == config


def test_an_unknown_setting_is_refused(plugin: str, data: TrainData) -> None:
    with pytest.raises(SettingsError, match=rf"unknown setting 'plugin\.{plugin}\.wieght'"):
        attach_plugins(backbone_of("lightgcn", data), data, {plugin: {"wieght": 1}}, 0)
