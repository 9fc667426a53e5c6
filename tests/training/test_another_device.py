"""Models, plug-ins and the encoder compute on another device what they compute on the CPU, and leave nothing behind.

Tests marked `gpu` do so on CUDA. These do it everywhere, on an imitation that refuses to mix devices.
"""

import pytest
import torch
from torch import nn

from alignrec.losses import PLUGINS
from alignrec.models import MODELS
from alignrec.ranking import top_k
from alignrec.training import Objective, embed, fit
from alignrec.training.journal import RunFiles
from alignrec.training.recommender import TrainingSettings
from tests.another_device import DEVICE, another_device
from tests.training.test_encoder import inputs, objective, run
from tests.training.test_plugin_contract import backbone_of, batch_of, losses, plugged, shop

__all__ = ["inputs"]

CPU = torch.device("cpu")
ALONE = "no plug-in"


def two_steps(model, plugin, device):
    """Loss terms of the second step, and the five first items of every user."""
    data = shop(3)
    trained = Objective(backbone_of(model, data)) if plugin == ALONE else plugged(model, data, plugin)
    trained.to(device).train()
    trained.backbone.start_epoch(torch.Generator().manual_seed(7))
    optimizer = torch.optim.Adam([p for p in trained.parameters() if p.requires_grad], lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        terms = losses(trained, batch_of(data).to(device))
        sum(terms.values()).backward()
        optimizer.step()
    embeddings = embed(trained)
    assert embeddings.users.device == device
    ranking = top_k(embeddings.users, embeddings.items, 5, exclude=data.interactions)
    return {name: term.detach().cpu() for name, term in terms.items()}, ranking.scores.cpu()


@pytest.mark.parametrize("model", sorted(MODELS))
@pytest.mark.parametrize("plugin", [ALONE, *sorted(PLUGINS)])
def test_models_and_plugins(model, plugin):
    expected, scores = two_steps(model, plugin, CPU)
    with another_device() as device:
        found, there = two_steps(model, plugin, device)
    assert found.keys() == expected.keys()
    for name, term in found.items():
        torch.testing.assert_close(term, expected[name], rtol=1e-4, atol=1e-5, msg=name)
    torch.testing.assert_close(there, scores, rtol=1e-3, atol=1e-4)


def test_a_run_stopped_there_goes_on_there_and_here(tmp_path):
    data, settings = shop(3), TrainingSettings(epochs=4, batch_size=16, checkpoint_seconds=0, metric="m")

    def trained(folder, epochs, device):
        made = Objective(backbone_of("alignrec", data))
        folder.mkdir(exist_ok=True)
        chosen = settings.model_copy(update={"epochs": epochs})
        result = fit(made, data, chosen, lambda _: {"m": 1.0}, seed=0, device=device, files=RunFiles(folder))
        return [line["loss"]["total"] for line in result.history]

    whole = trained(tmp_path / "whole", 4, CPU)
    with another_device() as device:
        assert trained(tmp_path / "run", 2, device) == pytest.approx(whole[:2], rel=1e-4)
        assert trained(tmp_path / "run", 3, device) == pytest.approx(whole[:3], rel=1e-4)
    assert trained(tmp_path / "run", 4, CPU) == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize(
    ("passes", "cls_objective"), [("separate", "none"), ("joint", "bow"), ("joint", "aggregate"), ("joint", "itc")]
)
def test_the_encoder(inputs, passes, cls_objective):
    ica = {"passes": passes, "cls_objective": cls_objective}
    expected = run(inputs, objective(ica=ica)).history[-1]
    with another_device() as device:
        model = objective(ica=ica)
        found = run(inputs, model, device=device).history[-1]
        assert {parameter.device for parameter in model.parameters()} == {device}
    for kind in ("loss", "valid"):
        assert found[kind] == pytest.approx(expected[kind], rel=1e-3), kind


def test_the_imitation_refuses_what_an_accelerator_refuses():
    with another_device():
        there, here = torch.ones(3, device=DEVICE), torch.ones(3)
        for mixed in (lambda: there + here, lambda: torch.stack([there, here]), lambda: here[there.long()]):
            with pytest.raises(RuntimeError, match=r"same device|indices should be"):
                mixed()
        with pytest.raises(RuntimeError, match="expected a generator"):
            torch.rand(3, generator=torch.Generator(), device=DEVICE)
        with pytest.raises(TypeError, match="copy it to the CPU"):
            there.numpy()
        assert there.cpu().numpy().tolist() == [1, 1, 1]
        layer = nn.Linear(3, 2).to(DEVICE)
        with pytest.raises(RuntimeError, match="same device"):
            layer(here)
        layer(there).sum().backward()
        assert layer.weight.grad.device == DEVICE
        assert (there + 2.0).device == there[torch.tensor([0])].device == DEVICE
