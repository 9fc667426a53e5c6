import pytest
import torch
from checkerboard import checkerboard, with_modalities
from golden import assert_close, load_golden, mmgcn_networks
from torch.nn.functional import leaky_relu, normalize

from alignrec.models import create_model
from alignrec.types import Batch, TrainData

BATCH = Batch(torch.tensor([0, 1, 2, 2]), torch.tensor([2, 3, 4, 6]), torch.tensor([1, 0, 5, 7]))


def make(data: TrainData | None = None, **settings):
    values = {"embedding_size": 8, "max_raw_size": 4, "latent_size": 5, **settings}
    return create_model("mmgcn", data or checkerboard()[0], torch.Generator().manual_seed(0), values)


def dense_forward(model, data: TrainData, concatenates: bool) -> torch.Tensor:
    """The formulas with a dense matrix of neighbours, node by node, layer by layer."""
    taken = torch.from_numpy(data.interactions.toarray()).double()
    joined = torch.zeros(60, 60, dtype=torch.float64)
    joined[:30, 30:], joined[30:, :30] = taken, taken.t()
    mean = joined / joined.sum(1, keepdim=True).clamp(min=1)
    total = 0.0
    for network, features in zip(model.networks, data.features.values(), strict=True):
        items = torch.from_numpy(features).double()
        if features.shape[1] > 4:
            items = network.content.linear(items)
        x = normalize(torch.cat([network.preference, items]))
        for layer in network.layers:
            h = leaky_relu(mean @ (x @ layer.message))
            kept = leaky_relu(layer.own(x)) + model.embedding
            x = leaky_relu(layer.merge(torch.cat([h, kept], 1)) if concatenates else layer.merge(h) + kept)
        total = total + x
    return total / len(data.features)


@pytest.mark.parametrize("combination", ["sum", "concatenation"])
@pytest.mark.parametrize("sizes", [(5,), (6, 3, 2)])
def test_any_number_of_modalities_equals_the_dense_formula(sizes, combination) -> None:
    data = with_modalities(*sizes)
    model = make(data, combination=combination).double()
    final = model.represent().final
    expected = dense_forward(model, data, combination == "concatenation")
    torch.testing.assert_close(torch.cat([final.users, final.items]), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("sizes", [(5,), (6, 3, 2)])
def test_a_batch_alone_gives_the_gradients_of_everything_for_any_number(sizes) -> None:
    whole, part = (make(with_modalities(*sizes)).double() for _ in range(2))
    sum(whole.losses(whole.represent(), BATCH).values()).backward()
    sum(part.losses(*part.represent_batch(BATCH)).values()).backward()
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(part.get_parameter(name).grad, parameter.grad, rtol=1e-6, atol=1e-9, msg=name)


def test_once_trained_the_tables_get_the_gradients_the_authors_code_throws_away(goldens) -> None:
    golden = load_golden(goldens, "mmgcn")
    settings = {"latent_size": 12, "max_raw_size": 16, "reg_weight": 0.1, "combination": "concatenation"}
    model = make(golden.data(goldens, "image", "text"), **settings).double()
    tables = {"embedding": "id_embedding"} | {
        f"networks.{n}.preference": f"{m}_gcn.preference" for n, m in [(0, "v"), (1, "t")]
    }
    with torch.no_grad():
        for ours, theirs in mmgcn_networks().items():
            model.get_parameter(ours).copy_(golden.tensors[f"param/{theirs[0]}"])
        for ours, name in tables.items():
            model.get_parameter(ours).copy_(golden.tensors[f"plain/{name}"])
    sum(model.losses(model.represent(), golden.batch).values()).backward()
    for ours, name in tables.items():
        expected = golden.tensors[f"grad_plain/{name}"]
        if name.startswith("t_gcn"):  # ours regularises the preferences of every modality
            table = golden.tensors[f"plain/{name}"]
            expected = expected + 0.1 * 2 * table / table.numel()
        assert_close(model.get_parameter(ours).grad, expected, 1e-6, f"gradient of {ours}")


def test_official_tables_stay_random_and_official_layers_concatenate() -> None:
    ours, official = make(), make(official=True, combination="sum")
    trained = {name for name, p in ours.named_parameters() if p.requires_grad}
    assert trained - {name for name, p in official.named_parameters() if p.requires_grad} == {
        "embedding",
        "networks.0.preference",
    }
    assert official.networks[0].layers[0].merge.in_features == 5 + 8
    assert "embedding" in official.state_dict()  # drawn once, so that saved weights rank alike


def test_only_long_features_are_projected() -> None:
    networks = make(with_modalities(5, 4)).networks
    assert networks[0].content.linear.weight.shape == (5, 5)
    assert networks[1].content is None
    assert networks[1].preference.shape == (30, 4)


def test_what_is_scored_is_the_mean_of_the_modalities_own_vectors() -> None:
    reps = make(with_modalities(4, 3)).represent()
    torch.testing.assert_close(reps.final.items, torch.stack(list(reps.content.values())).mean(0))
