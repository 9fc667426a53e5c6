"""DREAM against the paper's equations, written out here with whole matrices, as its code was never published.

Tolerances are those of graphs kept in float32.
"""

import numpy as np
import pytest
import torch
from checkerboard import checkerboard, with_modalities
from scipy import sparse
from torch import Tensor

from alignrec.models import create_model
from alignrec.types import Batch, TrainData

SETTINGS = {
    "embedding_size": 4,
    "n_layers": 2,
    "n_neighbors": 3,
    "n_user_neighbors": 4,
    "modality_weights": {"image": 0.3, "text": 0.7},
    "intra_weight": 0.2,
    "inter_weight": 0.3,
    "s3_weight": 0.4,
    "l2_weight": 0.05,
}
BATCH = Batch(torch.tensor([0, 3, 3, 7, 11, 0]), torch.tensor([2, 1, 6, 2, 8, 5]), torch.tensor([1, 0, 5, 7, 3, 4]))


def data() -> TrainData:
    """Twelve users, nine items; one user has no item, the first item is everybody else's, one has no picture."""
    rng = np.random.default_rng(1)
    matrix = (rng.random((12, 9)) < 0.4).astype(np.float32)
    matrix[:, 0] = 1
    matrix[10] = 0
    features = {"image": rng.normal(size=(9, 5)), "text": rng.normal(size=(9, 3)) + 0.5}
    features["image"][8] = 0
    return TrainData(sparse.csr_array(matrix), {name: table.astype(np.float32) for name, table in features.items()})


def make(dataset: TrainData | None = None, **settings):
    rng = torch.Generator().manual_seed(0)
    model = create_model("dream", dataset or data(), rng, {**SETTINGS, **settings}).double()
    with torch.no_grad():  # large enough for every term to matter, and features that have moved from where they began
        model.embedding.mul_(3.0)
        for part in model.projections.of:
            part.table.add_(0.3 * torch.randn(part.table.shape, generator=rng, dtype=torch.float64))
    return model


# The paper, dense


def graph_of(e: Tensor, k: int) -> Tensor:
    """Eq. 5; who has no features at all has no neighbours."""
    n = e.norm(dim=1, keepdim=True).clamp_min(1e-12)
    s = (e @ e.t()) / (n * n.t())
    kept = torch.zeros_like(s)
    for row in range(len(s)):
        # of equal similarities the lower index
        order = sorted(range(len(s)), key=lambda other, row=row: (-round(float(s[row, other]), 9), other))
        kept[row, order[:k]] = float(e[row].norm() > 0)
    degrees = kept.sum(dim=1)
    d = torch.diag(torch.where(degrees > 0, degrees**-0.5, 0.0))
    return d @ kept @ d


def contrast(x: Tensor, y: Tensor, tau: float = 0.2) -> Tensor:
    """One sum of Eqs. 9 to 11, as a mean, over unit vectors."""
    x, y = x / x.norm(dim=1, keepdim=True), y / y.norm(dim=1, keepdim=True)
    total = 0.0
    for b in range(len(x)):
        total = total - torch.log(torch.exp(x[b] @ y[b] / tau) / torch.exp(x[b] @ y.t() / tau).sum())
    return total / len(x)


def signal(z: Tensor, tables: list[Tensor], form: str) -> Tensor:
    """One norm of Eq. 8, with the target as Fig. 5 draws it."""
    target = 0.0
    for share, e in zip((0.3, 0.7), tables, strict=True):
        unit = e / e.norm(dim=1, keepdim=True).clamp_min(1e-12)
        target = target + share * (unit @ unit.t())
    difference = z @ z.t() - target.detach()
    return difference.norm() / len(z) if form == "rms" else difference.square().mean()


def paper(model, dataset: TrainData, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
    """Loss terms and scores."""
    config, r = model.config, torch.from_numpy(dataset.interactions.toarray()).double()
    a = torch.cat([torch.cat([torch.zeros(12, 12), r], 1), torch.cat([r.t(), torch.zeros(9, 9)], 1)]).double()  # Eq. 1
    degree = a.sum(dim=1)
    d = torch.diag(torch.where(degree > 0, degree.clamp_min(1) ** -0.5, 0.0))
    layers = [model.embedding]
    for _ in range(config.n_layers):
        layers.append(d @ a @ d @ layers[-1])  # Eq. 2
    behaviour = torch.stack(layers).mean(dim=0)  # Eq. 3
    gated = behaviour if config.gate_input == "propagated" else model.embedding
    mean = r / r.sum(dim=1, keepdim=True).clamp_min(1)  # footnote 1
    first = [torch.from_numpy(table).double() for table in dataset.features.values()]
    modal_u, modal_i = 0.0, 0.0
    for share, e0, part in zip((0.3, 0.7), first, model.projections.of, strict=True):
        e_i, w, b = part.table, part.linear.weight.t(), part.linear.bias
        e_u = mean @ (e0 if config.user_features == "fixed" else e_i)
        hat_i, hat_u = e_i @ w + b, e_u @ w + b
        if config.filter_gate:
            hat_i, hat_u = torch.sigmoid(hat_i) * gated[12:], torch.sigmoid(hat_u) * gated[:12]  # Eq. 4
        s, j = graph_of(e0, config.n_neighbors), graph_of(mean @ e0, config.n_user_neighbors)
        for _ in range(config.n_content_layers):
            hat_i, hat_u = s @ hat_i, j @ hat_u  # Eq. 6
        modal_u, modal_i = modal_u + share * hat_u, modal_i + share * hat_i  # Eq. 7
    final_u, final_i = behaviour[:12] + modal_u, behaviour[12:] + modal_i  # Eq. 12
    u, i, n = batch.users, batch.positives, batch.negatives
    e_u, e_i, e_n = final_u[u], final_i[i], final_i[n]
    b_u, b_i, m_u, m_i = behaviour[:12][u], behaviour[12:][i], modal_u[u], modal_i[i]
    by_user = signal(m_u, [(mean @ e)[u] for e in first], config.s3_form)
    by_item = signal(m_i, [e[i] for e in first], config.s3_form)
    return {
        "bpr": -torch.log(torch.sigmoid((e_u * e_i).sum(1) - (e_u * e_n).sum(1))).mean(),  # Eq. 13
        "l2": 0.05 * sum(x.square().sum() for x in (e_u, e_i, e_n)) / 2 / len(u),
        "intra": 0.2 * (contrast(b_u, b_i) + contrast(m_u, m_i)),
        "inter": 0.3 * (contrast(b_u, m_u) + contrast(b_i, m_i)),
        "s3": 0.4 * (by_user + by_item),
    }, final_u @ final_i.t()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"s3_form": "mse", "user_features": "trained"},
        {"gate_input": "propagated", "n_content_layers": 2},
        {"filter_gate": False, "n_content_layers": 0},
        {"trainable_features": False},
    ],
    ids=str,
)
def test_terms_scores_and_gradients_are_those_of_the_papers_equations(settings, whole) -> None:
    ours, plain = make(**settings), make(**settings)
    if not ours.config.trainable_features:
        for model in (ours, plain):
            for part, table in zip(model.projections.of, data().features.values(), strict=True):
                part.table.copy_(torch.from_numpy(table))
    expected, scores = paper(plain, data(), BATCH)
    found = ours.losses(*((ours.represent(), BATCH) if whole else ours.represent_batch(BATCH)))
    assert list(found) == list(expected)
    for name, term in expected.items():
        torch.testing.assert_close(found[name], term, rtol=1e-6, atol=1e-7, msg=name)
    final = ours.represent().final
    torch.testing.assert_close(final.users @ final.items.t(), scores, rtol=1e-6, atol=1e-7)
    sum(found.values()).backward()
    sum(expected.values()).backward()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name).grad, parameter.grad, rtol=1e-6, atol=1e-7, msg=name)


def test_the_graphs_are_the_papers_and_never_move() -> None:
    model = make()
    mean = data().interactions.toarray()
    mean = mean / np.maximum(mean.sum(axis=1, keepdims=True), 1)
    for number, table in enumerate(data().features.values()):
        users = torch.from_numpy(mean @ table)
        for graphs, e, k in ((model.item_graphs, torch.from_numpy(table), 3), (model.user_graphs, users, 4)):
            found = graphs[number](torch.eye(len(e), dtype=torch.float64))
            torch.testing.assert_close(found, graph_of(e.double(), k), rtol=1e-6, atol=1e-7)


def test_making_it_leaves_the_features_as_they_were() -> None:
    dataset = data()
    make(dataset)
    for name, table in data().features.items():
        assert np.array_equal(dataset.features[name], table)


@pytest.mark.parametrize("sizes", [(5,), (6, 3, 2)])
def test_any_number_of_modalities_and_equal_weights_by_default(sizes) -> None:
    dataset = with_modalities(*sizes)
    model = make(dataset, modality_weights=None)
    assert model.shares == (1 / len(sizes),) * len(sizes)
    reps, batch = model.represent_batch(BATCH)
    every = model.represent()
    assert list(reps.content) == list(dataset.features)
    for name, table in reps.content.items():
        torch.testing.assert_close(table, every.content[name][reps.item_ids])
    assert set(model.losses(reps, batch)) == {"bpr", "l2", "intra", "inter", "s3"}


def test_terms_without_weight_are_left_out() -> None:
    model = make(checkerboard()[0], modality_weights=None, intra_weight=0, inter_weight=0, s3_weight=0)
    assert set(model.losses(model.represent(), BATCH)) == {"bpr", "l2"}
