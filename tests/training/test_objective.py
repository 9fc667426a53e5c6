from pathlib import Path

import pytest
import torch
from checkerboard import checkerboard
from golden import assert_close, load_golden

from alignrec.errors import SettingsError
from alignrec.losses import Plugin, PluginInputs
from alignrec.models import create_model
from alignrec.settings import Settings
from alignrec.training import Objective, attach_plugins
from alignrec.types import Batch


class NoSettings(Settings):
    """None."""


class MeanOfUsers(Plugin[NoSettings]):
    """A plug-in with one parameter of its own."""

    Config = NoSettings

    def __init__(self) -> None:
        super().__init__(NoSettings(), PluginInputs(4), torch.Generator())
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, reps, batch):
        return {"users": self.scale * reps.final.users[batch.users].mean()}


DATA = checkerboard()[0]
BATCH = Batch(torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([1, 0]))


def backbone_of(model: str):
    return create_model(model, DATA, torch.Generator().manual_seed(0), {"embedding_size": 4})


def test_a_plugins_terms_are_named_after_it_and_leave_the_others() -> None:
    backbone = backbone_of("bpr")
    alone, plugged = Objective(backbone), Objective(backbone, {"mean": MeanOfUsers()})
    terms = plugged(BATCH)
    assert set(terms) == {"bpr", "norm", "mean.users"}
    assert torch.equal(terms["bpr"], alone(BATCH)["bpr"])
    assert torch.allclose(terms["mean.users"], backbone.user_embedding[BATCH.users].mean())


def test_a_plugins_parameters_train_but_are_not_the_backbones() -> None:
    objective = Objective(backbone_of("bpr"), {"mean": MeanOfUsers()})
    sum(objective(BATCH).values()).backward()
    assert objective.plugins["mean"].scale.grad is not None
    assert "plugins.mean.scale" in objective.state_dict()
    assert not any("scale" in name for name in objective.backbone.state_dict())


@pytest.mark.parametrize("name", ["fettle", "bm3", "bma", "cca", "reg"])
def test_a_plugin_that_needs_features_says_what_to_add(name: str) -> None:
    bare = type(DATA)(DATA.interactions)
    with pytest.raises(SettingsError, match=f"plugin '{name}' needs item features and none are given; add --features"):
        attach_plugins(backbone_of("lightgcn"), bare, {name: {}}, 0)


@pytest.mark.parametrize("host", ["lightgcn", "vbpr"])
def test_an_alignment_that_could_reach_nothing_that_is_scored_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="with detach_id=true moves content vectors only"):
        attach_plugins(backbone_of(host), DATA, {"bm3": {"detach_id": True}}, 0)


def test_constant_id_targets_are_for_hosts_with_content_vectors() -> None:
    assert "bm3.id" in attach_plugins(backbone_of("freedom"), DATA, {"bm3": {"detach_id": True}}, 0)(BATCH)


@pytest.mark.parametrize("host", ["bpr", "lightgcn", "vbpr"])
def test_bm3s_alignment_moves_the_items_that_are_scored(host: str) -> None:
    objective = attach_plugins(backbone_of(host), DATA, {"bm3": {}}, 0)
    objective(BATCH)["bm3.id"].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in objective.backbone.parameters())


def test_a_plugin_on_users_and_items_alone_needs_no_features() -> None:
    bare = type(DATA)(DATA.interactions)
    assert "uia.pairs" in attach_plugins(backbone_of("lightgcn"), bare, {"uia": {}}, 0)(BATCH)


def test_attaching_leaves_the_backbone_in_its_mode() -> None:
    backbone = backbone_of("lightgcn")
    attach_plugins(backbone, DATA, {"cca": {}}, 0)
    assert backbone.training


def test_attaching_draws_nothing_even_where_the_backbone_draws_in_every_pass() -> None:
    backbone = backbone_of("lgmrec")
    before = torch.get_rng_state()
    attach_plugins(backbone, DATA, {"cca": {}}, 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_order_in_which_plugins_are_named_does_not_matter() -> None:
    one, other = (
        attach_plugins(backbone_of("lightgcn"), DATA, {name: {} for name in names}, 0)
        for names in (("cca", "bm3"), ("bm3", "cca"))
    )
    assert [name for name, _ in one.named_parameters()] == [name for name, _ in other.named_parameters()]
    assert list(one(BATCH)) == list(other(BATCH))


def test_an_attached_plugin_is_the_same_beside_another() -> None:
    small = {"user_item_prototypes": 4, "content_prototypes": 4}
    alone, beside = (
        attach_plugins(backbone_of("lightgcn"), DATA, plugins, 3)(BATCH)
        for plugins in ({"fettle": small}, {"fettle": small, "cca": {}, "bma": {}})
    )
    for name in alone:
        torch.testing.assert_close(alone[name], beside[name], rtol=1e-6, atol=1e-9)


def test_fettle_on_lightgcn_with_projected_features_equals_the_authors(goldens: Path) -> None:
    """Their host is NCL, whose scored vectors are LightGCN's, so FETTLE's terms and parameters can be compared."""
    golden = load_golden(goldens, "ncl_fettle")
    data, tensors = golden.data(goldens, "image", "text"), golden.tensors
    host = create_model("lightgcn", data, torch.Generator(), {"embedding_size": 8, "n_layers": 3})
    settings = {"item_weight": 0.2, "cluster_weight": 0.1, "user_item_prototypes": 12, "content_prototypes": 12}
    objective = attach_plugins(host, data, {"fettle": settings}, 0).double()
    plugin, (image, text) = objective.plugins["fettle"], (p.linear for p in objective.completion.projections)
    theirs = {
        "image_trs.weight": image.weight,
        "image_trs.bias": image.bias,
        "text_trs.weight": text.weight,
        "text_trs.bias": text.bias,
        "iladt_loss.temp": plugin.item_temperature,
        "cla_loss.gamma": plugin.cluster_temperature,
        "cla_loss.feat2code.weight": plugin.user_item_codebook,
        "cla_loss.ii2code.weight": plugin.content_codebook,
    }
    maps = [f"iladt_loss.{name}_map.weight" for name in ("d2i", "d2t", "i2d", "i2t", "t2d", "t2i")]
    with torch.no_grad():
        host.embedding.copy_(torch.cat([tensors[f"param/{side}_embedding.weight"] for side in ("user", "item")]))
        plugin.maps.copy_(torch.stack([tensors[f"param/{name}"] for name in maps]))
        for name, parameter in theirs.items():
            parameter.copy_(tensors[f"param/{name}"])
    terms = objective(golden.batch)
    ours = {part: sum(terms[f"fettle.{name}"] for name in names) for part, names in PARTS.items()}
    assert_close(ours["iladt"].detach(), 0.2 * tensors["loss/iladt"], 1e-6, "ILA + DT")
    assert_close(ours["cla"].detach(), 0.1 * tensors["loss/cla"], 1e-6, "CLA")
    sum(ours.values()).backward()
    for name, parameter in theirs.items():
        assert_close(parameter.grad, tensors[f"grad/{name}"], 1e-6, f"gradient of {name}")
    assert_close(plugin.maps.grad, torch.stack([tensors[f"grad/{name}"] for name in maps]), 1e-6, "gradient of maps")


PARTS = {"iladt": ("ila", "dt"), "cla": ("ui", "itv")}
