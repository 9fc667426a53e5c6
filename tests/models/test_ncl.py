import pytest
import torch
from checkerboard import checkerboard
from golden import assert_close, assert_gradients, assert_scores, load_golden, set_parameters

from alignrec.errors import SettingsError
from alignrec.losses import PluginInputs, create_plugin
from alignrec.models import create_model
from alignrec.models.ncl import _Prototypes
from alignrec.models.projection import FeatureProjection, linear
from alignrec.training import Objective
from alignrec.types import Batch, Representations

NAMES = {"embedding": ("user_embedding.weight", "item_embedding.weight")}
SETTINGS = {
    "embedding_size": 8,
    "n_layers": 3,
    "reg_weight": 0.01,
    "temperature": 0.1,
    "structure_weight": 0.001,
    "prototype_weight": 0.002,
    "n_prototypes": 5,
}
BATCH = Batch(torch.tensor([0, 1, 2, 2]), torch.tensor([2, 3, 4, 6]), torch.tensor([1, 0, 5, 7]))


def make(**settings):
    values = {"embedding_size": 8, "n_prototypes": 4, **settings}
    return create_model("ncl", checkerboard()[0], torch.Generator().manual_seed(0), values)


def golden_model(goldens, name, dtype, **settings):
    """The authors' parameters and clusters."""
    golden = load_golden(goldens, name)
    model = create_model("ncl", golden.data(goldens), torch.Generator(), {**SETTINGS, **settings}).to(dtype)
    set_parameters(model, golden, NAMES)
    for side in ("user", "item"):
        centroids, owners = (golden.tensors[f"input/{side}_{what}"] for what in ("centroids", "2cluster"))
        setattr(model, f"{side}_prototypes", _Prototypes(centroids.to(dtype), owners))
    return golden, model


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_terms_gradients_and_scores_equal_the_authors(goldens, dtype, tolerance, whole) -> None:
    golden, model = golden_model(goldens, "ncl", dtype, item_weight=0.7)
    terms = model.losses(*((model.represent(), golden.batch) if whole else model.represent_batch(golden.batch)))
    weights = {"bpr": ("bpr", 1.0), "norm": ("reg", 0.01), "structure": ("ssl", 0.001), "prototype": ("proto", 0.002)}
    assert set(terms) == set(weights)
    for ours, (theirs, weight) in weights.items():
        assert_close(terms[ours].detach(), weight * golden.tensors[f"loss/{theirs}"], tolerance, ours)
    total = sum(terms.values())
    assert_close(total.detach(), golden.tensors["loss/total"], tolerance, "total")
    total.backward()
    assert_gradients(model, golden, NAMES, tolerance)
    assert_scores(model.represent().final, golden, tolerance)


class Projected(torch.nn.Module):
    """FETTLE on fixed features, with the two maps of the authors' host."""

    def __init__(self, golden, goldens) -> None:
        super().__init__()
        data = golden.data(goldens, "image", "text")
        self.maps = torch.nn.ModuleList(
            FeatureProjection(table, linear(table.shape[1], 8, torch.Generator()), trainable=False)
            for table in data.features.values()
        )
        settings = {"user_item_prototypes": 12, "content_prototypes": 12, "item_weight": 0.2, "cluster_weight": 0.1}
        inputs = PluginInputs(8, ("image", "text"))
        self.fettle = create_plugin("fettle", inputs, torch.Generator(), settings)

    def forward(self, reps, batch):
        content = {name: part() for name, part in zip(("image", "text"), self.maps, strict=True)}
        return self.fettle(Representations(reps.final, content), batch)


def test_with_fettle_on_top_the_loss_and_its_gradients_are_the_authors(goldens) -> None:
    golden, model = golden_model(goldens, "ncl_fettle", torch.float64)
    plugin = Projected(golden, goldens).double()
    maps = [f"iladt_loss.{name}_map.weight" for name in ("d2i", "d2t", "i2d", "i2t", "t2d", "t2i")]
    names = {
        "fettle.item_temperature": "iladt_loss.temp",
        "fettle.cluster_temperature": "cla_loss.gamma",
        "fettle.user_item_codebook": "cla_loss.feat2code.weight",
        "fettle.content_codebook": "cla_loss.ii2code.weight",
        **{
            f"maps.{n}.linear.{part}": f"{m}_trs.{part}"
            for n, m in enumerate(("image", "text"))
            for part in ("weight", "bias")
        },
    }
    with torch.no_grad():
        plugin.fettle.maps.copy_(torch.stack([golden.tensors[f"param/{name}"] for name in maps]))
        for ours, theirs in names.items():
            plugin.get_parameter(ours).copy_(golden.tensors[f"param/{theirs}"])
    objective = Objective(model, {"fettle": plugin})
    objective.backbone.represent_batch = lambda batch: (model.represent(), batch)  # content here is of all items
    terms = objective(golden.batch)
    assert_close(sum(terms.values()).detach(), golden.tensors["loss/total"], 1e-6, "total")
    sum(terms.values()).backward()
    assert_gradients(model, golden, NAMES, 1e-6)
    for ours, theirs in names.items():
        assert_close(plugin.get_parameter(ours).grad, golden.tensors[f"grad/{theirs}"], 1e-6, f"gradient of {ours}")
    for number, name in enumerate(maps):
        assert_close(plugin.fettle.maps.grad[number], golden.tensors[f"grad/{name}"], 1e-6, f"gradient of {name}")


def test_an_epoch_clusters_users_and_items_anew_and_only_from_its_generator() -> None:
    model = make()
    assert "prototype" not in model.losses(model.represent(), BATCH)
    model.start_epoch(torch.Generator().manual_seed(1))
    found = model.user_prototypes
    nearest = torch.cdist(model.embedding[:30].detach(), found.centroids).argmin(dim=1)
    assert torch.equal(found.owners, nearest)
    assert "prototype" in model.losses(model.represent(), BATCH)
    model.start_epoch(torch.Generator().manual_seed(1))
    assert torch.equal(model.user_prototypes.centroids, found.centroids)
    model.start_epoch(torch.Generator().manual_seed(2))
    assert not torch.equal(model.user_prototypes.centroids, found.centroids)


def test_warming_up_counts_epochs_and_a_resumed_run_counts_on() -> None:
    model = make(warmup_epochs=2)
    model.start_epoch(torch.Generator())
    assert model.user_prototypes is None
    resumed = make(warmup_epochs=2)
    resumed.load_state_dict(model.state_dict())
    resumed.start_epoch(torch.Generator())
    assert resumed.user_prototypes is None
    resumed.start_epoch(torch.Generator())
    assert resumed.user_prototypes is not None


def test_more_prototypes_than_nodes_are_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"'model\.n_prototypes' cannot be 31 with 30 users and 30 items; give at mo"
    ):
        make(n_prototypes=31)
    assert make(n_prototypes=31, prototype_weight=0).config.n_prototypes == 31


def test_without_their_weights_both_contrasts_and_the_clustering_are_left_out() -> None:
    model = make(structure_weight=0, prototype_weight=0)
    model.start_epoch(torch.Generator())
    assert model.user_prototypes is None
    assert set(model.losses(model.represent(), BATCH)) == {"bpr", "norm"}
