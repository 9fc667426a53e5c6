import pytest
import torch
from checkerboard import checkerboard, with_modalities
from golden import assert_close, assert_gradients, assert_scores, load_golden, set_parameters
from torch.nn.functional import normalize

from alignrec.models import create_model
from alignrec.models import lgmrec as module
from alignrec.types import Batch, TrainData

NAMES = {
    "embedding": ("user_embedding.weight", "item_id_embedding.weight"),
    "modalities.0.weight": ("item_image_trs",),
    "modalities.0.hyperedges": ("v_hyper",),
    "modalities.1.weight": ("item_text_trs",),
    "modalities.1.hyperedges": ("t_hyper",),
}
SETTINGS = {
    "embedding_size": 8,
    "n_layers": 2,
    "n_content_layers": 1,
    "n_hypergraph_layers": 2,
    "n_hyperedges": 4,
    "hyperedge_dropout": 0.0,
    "global_weight": 0.3,
    "contrastive_weight": 0.01,
    "reg_weight": 0.01,
}
BATCH = Batch(torch.tensor([0, 1, 2, 2]), torch.tensor([2, 3, 4, 6]), torch.tensor([1, 0, 5, 7]))


def make(data: TrainData | None = None, **settings):
    values = {"embedding_size": 8, **settings}
    return create_model("lgmrec", data or checkerboard()[0], torch.Generator().manual_seed(0), values)


def golden_model(goldens, monkeypatch, dtype, **settings):
    """The authors' parameters and noise."""
    golden = load_golden(goldens, "lgmrec")
    data = golden.data(goldens, "image", "text")
    model = create_model("lgmrec", data, torch.Generator(), {**SETTINGS, **settings}).to(dtype)
    set_parameters(model, golden, NAMES)
    stored = [golden.tensors[f"input/gumbel_{name}"].to(dtype) for name in ("item_v", "user_v", "item_t", "user_t")]
    calls = iter(stored * 20)
    monkeypatch.setattr(module, "_gumbel_like", lambda logits: next(calls).view_as(logits))
    return golden, model


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_with_their_noise_everything_equals_the_authors(goldens, monkeypatch, dtype, tolerance) -> None:
    golden, model = golden_model(goldens, monkeypatch, dtype)
    reps = model.represent()
    for modality, letter in (("image", "v"), ("text", "t")):
        for side in ("user", "item"):
            found = getattr(reps.views[f"hypergraph of {modality}"], f"{side}s").detach()
            assert_close(found, golden.tensors[f"inter/hyper_{side}_{letter}"], tolerance, f"{side}s by {modality}")
    terms, loss = model.losses(reps, golden.batch), golden.tensors
    assert_close(terms["bpr"].detach(), loss["loss/bpr"], tolerance, "bpr")
    assert_close(terms["norm"].detach(), 0.01 * loss["loss/reg"], tolerance, "norm")
    contrast = loss["loss/hcl_user"] + loss["loss/hcl_item"]
    assert_close(terms["contrastive"].detach(), 0.01 * contrast, tolerance, "contrastive")
    total = sum(terms.values())
    assert_close(total.detach(), loss["loss/total"], tolerance, "total")
    total.backward()
    assert_gradients(model, golden, NAMES, tolerance)
    assert_scores(reps.final, golden, tolerance)


def test_losses_follow_the_authors_over_adam_steps(goldens, monkeypatch) -> None:
    golden, model = golden_model(goldens, monkeypatch, torch.float64)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step, expected in enumerate(golden.about["trajectory"]):
        optimizer.zero_grad()
        loss = sum(model.losses(*model.represent_batch(golden.batch)).values())
        assert_close(loss.detach(), expected, 2e-6, f"loss before step {step + 1}")
        loss.backward()
        optimizer.step()


def test_without_noise_loss_and_scores_are_those_of_the_authors_without_noise(goldens, monkeypatch) -> None:
    golden, model = golden_model(goldens, monkeypatch, torch.float64, gumbel_noise=False)
    total = sum(model.losses(model.represent(), golden.batch).values())
    assert_close(total.detach(), golden.tensors["variant/nonoise/total"], 1e-6, "total")
    total.backward()
    for number, letter in enumerate("vt"):
        gradient = model.get_parameter(f"modalities.{number}.hyperedges").grad
        assert_close(gradient, golden.tensors[f"variant/nonoise/grad/{letter}_hyper"], 1e-6, letter)


def test_evaluation_has_no_noise_and_no_dropout(goldens, monkeypatch) -> None:
    golden, model = golden_model(goldens, monkeypatch, torch.float64, hyperedge_dropout=0.5)
    final = model.eval().represent().final
    assert_close((final.users @ final.items.t()).detach(), golden.tensors["variant/nonoise/scores"], 1e-6, "scores")


def test_the_seeded_loop_decides_the_noise() -> None:
    model = make()

    def items(seed: int) -> torch.Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return model.represent().final.items

    assert torch.equal(items(1), items(1))
    assert not torch.equal(items(1), items(2))


def test_noise_is_gumbels() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        noise = module._gumbel_like(torch.empty(200_000))
    assert abs(float(noise.mean()) - 0.57722) < 0.01  # Euler's constant
    assert abs(float(noise.std()) - torch.pi / 6**0.5) < 0.01


@pytest.mark.parametrize("sizes", [(5,), (4, 3), (6, 3, 2)])
def test_any_number_of_modalities_by_the_formula(sizes) -> None:
    model = make(with_modalities(*sizes), gumbel_noise=False, hyperedge_dropout=0.0).double()
    taken = torch.from_numpy(with_modalities(*sizes).interactions.toarray()).double()
    reps, behaviour = model.represent(), model.represent().views["behaviour"]
    content, hyper = 0.0, 0.0
    for part in model.modalities:
        table = part.table.double()
        projected, logits = table @ part.weight, table @ part.hyperedges
        users = (taken @ projected) / taken.sum(1, keepdim=True)
        nodes = torch.cat([users, projected])
        content = content + normalize(model.adjacency(model.adjacency(nodes)))
        of_items, of_users = ((x / 0.2).softmax(dim=1) for x in (logits, taken @ logits))
        edges = of_items.t() @ behaviour.items
        hyper = hyper + torch.cat([of_users @ edges, of_items @ edges])
    expected = torch.cat([behaviour.users, behaviour.items]) + content + 0.3 * normalize(hyper)
    torch.testing.assert_close(torch.cat([reps.final.users, reps.final.items]), expected)
    assert ("contrastive" in model.losses(reps, BATCH)) == (len(sizes) > 1)


def test_features_are_neither_trained_nor_saved() -> None:
    assert not any("table" in name for name in make().state_dict())


def test_nearly_opposite_hyperedges_leave_a_length_its_digits() -> None:
    shares = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.0, 0.0]])
    edges = torch.tensor([[1.0, 2.0], [-1.0, -2.0001]])
    exact = (shares.double() @ edges.double()).norm(dim=1, keepdim=True).float()
    torch.testing.assert_close(module._lengths(shares, edges)[:2], exact[:2], rtol=1e-5, atol=0)
    assert module._lengths(shares, edges)[2] > 0  # to divide by: all memberships dropped


def test_a_node_without_memberships_has_finite_gradients() -> None:
    shares = torch.tensor([[0.5, 0.5], [0.0, 0.0]], requires_grad=True)
    edges = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (shares / module._lengths(shares, edges)).sum().backward()
    assert torch.isfinite(shares.grad).all()
    assert torch.isfinite(edges.grad).all()


def test_a_batch_sees_every_other_node_as_a_candidate() -> None:
    model = make(with_modalities(5, 4), gumbel_noise=False, hyperedge_dropout=0.0).double()
    reps, batch = model.represent_batch(BATCH)
    every, names = model.represent().views, [f"hypergraph of {name}" for name in model.names]
    first, second = (every[name] for name in names)
    expected = 0.0
    for side, ids in (("users", BATCH.users), ("items", BATCH.positives)):
        cosines = normalize(getattr(first, side)[ids]) @ normalize(getattr(second, side)).t() / 0.2
        expected = expected + torch.nn.functional.cross_entropy(cosines, ids, reduction="sum")
    torch.testing.assert_close(model.losses(reps, batch)["contrastive"], 1e-4 * expected)
