"""Loss terms, scores, gradients and a short training agree with the numbers of the authors' code."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden import Golden, assert_close, linears, load_golden, mmgcn_networks
from scipy import sparse
from torch import Tensor

from alignrec.models import Backbone, create_model
from alignrec.ops import SparseOperator

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}


@dataclass(frozen=True)
class Case:
    """How a golden file maps to a model of ours."""

    model: str
    settings: dict[str, Any]
    parameters: dict[str, tuple[str, ...]]  # ours -> theirs, stacked
    terms: dict[str, tuple[tuple[str, float], ...]]  # ours -> sum of (theirs, weight)
    features: tuple[str, ...] = ()
    trajectories: dict[str, dict[str, Any]] = field(default_factory=lambda: {"trajectory": {}})
    untrained: dict[str, str] = field(default_factory=dict)  # ours -> theirs, tables that never change
    given: Callable[[Backbone[Any], Golden], None] = lambda _model, _golden: None  # puts in what they drew
    link: Callable[[Tensor], Tensor] = lambda scores: scores  # our scores -> theirs


def projections(*modalities: str) -> dict[str, tuple[str, ...]]:
    """The feature table and linear map of each modality."""
    found: dict[str, tuple[str, ...]] = {}
    for index, name in enumerate(modalities):
        found[f"projections.of.{index}.table"] = (f"{name}_embedding.weight",)
        for part in ("weight", "bias"):
            found[f"projections.of.{index}.linear.{part}"] = (f"{name}_trs.{part}",)
    return found


def neighbors_of_the_epoch(model: Backbone[Any], golden: Golden) -> None:
    """DualGNN's lists of 40 users, filled up at random, with their weights."""
    users, weights = (golden.tensors[f"buffer/{name}"].numpy() for name in ("epoch_user_graph", "user_weight_matrix"))
    rows = np.repeat(np.arange(60), 40)
    matrix = sparse.coo_array((weights.ravel(), (rows, users.ravel())), shape=(60, 60))
    model.padded = SparseOperator.from_scipy(sparse.csr_array(matrix))


CASES = [
    Case(
        "bpr",
        {"embedding_size": 8, "reg_weight": 0.1},
        {"user_embedding": ("user_embedding.weight",), "item_embedding": ("item_embedding.weight",)},
        {"bpr": (("bpr", 1.0),), "norm": (("reg", 0.1),)},
    ),
    Case(
        "lightgcn",
        {"embedding_size": 8, "n_layers": 3, "reg_weight": 0.01},
        {"embedding": ("embedding_dict.user_emb", "embedding_dict.item_emb")},
        {"bpr": (("bpr", 1.0),), "norm": (("reg", 0.01),)},
    ),
    Case(
        "alignrec",
        {
            "embedding_size": 8,
            "n_layers": 3,
            "n_content_layers": 2,
            "n_neighbors": 5,
            "l2_weight": 0.01,
            "l2_batch_size": 64,
            "cca_weight": 0.1,
            "reg_weight": 0.2,
            "uia_weight": 0.25,
        },
        {
            "embedding": ("user_embedding.weight", "item_id_embedding.weight"),
            "features.table": ("mm_embedding.weight",),
            "features.linear.weight": ("mm_trs.weight",),
            "features.linear.bias": ("mm_trs.bias",),
            "gate.weight": ("gate_v.0.weight",),
            "gate.bias": ("gate_v.0.bias",),
        },
        {
            "bpr": (("bpr", 1.0),),
            "l2": (("l2", 0.01),),
            "cca": (("nce_item", 0.1), ("nce_user", 0.1)),
            "uia": (("ui_cosine", 0.25),),
            "reg": (("reg_sim", 0.2),),
        },
        features=("unified",),
        trajectories={"trajectory_fixed_target": {}, "trajectory_aliased": {"alias_reg_target": True}},
    ),
    Case(
        "vbpr",
        {"embedding_size": 8, "reg_weight": 0.1},
        {
            "user_embedding": ("u_embedding",),
            "item_embedding": ("i_embedding",),
            "content.linear.weight": ("item_linear.weight",),
            "content.linear.bias": ("item_linear.bias",),
        },
        {"bpr": (("bpr", 1.0),), "norm": (("reg", 0.1),)},
        features=("text", "image"),
    ),
    Case(
        "bm3",
        {"embedding_size": 8, "n_layers": 2, "dropout": 0.0, "reg_weight": 0.1, "content_weight": 1.5},
        {
            "embedding": ("user_embedding.weight", "item_id_embedding.weight"),
            "predictor.weight": ("predictor.weight",),
            "predictor.bias": ("predictor.bias",),
            **projections("image", "text"),
        },
        {
            "rec": (("user_to_item", 1.0), ("item_to_user", 1.0)),
            "align": (("t_to_item", 1.5), ("v_to_item", 1.5)),
            "mask": (("t_to_t", 1.5), ("v_to_v", 1.5)),
            "norm": (("reg", 0.1),),
        },
        features=("image", "text"),
    ),
    Case(
        "mgcn",
        {
            "embedding_size": 8,
            "n_layers": 3,
            "n_content_layers": 2,
            "n_neighbors": 5,
            "l2_weight": 0.01,
            "l2_batch_size": 64,
            "contrastive_weight": 0.1,
        },
        {
            "embedding": ("user_embedding.weight", "item_id_embedding.weight"),
            **projections("image", "text"),
            "gates.0.weight": ("gate_v.0.weight",),
            "gates.0.bias": ("gate_v.0.bias",),
            "gates.1.weight": ("gate_t.0.weight",),
            "gates.1.bias": ("gate_t.0.bias",),
            "attention.weight": ("query_common.0.weight",),
            "attention.bias": ("query_common.0.bias",),
            "query.weight": ("query_common.2.weight",),
            "preferences.0.weight": ("gate_image_prefer.0.weight",),
            "preferences.0.bias": ("gate_image_prefer.0.bias",),
            "preferences.1.weight": ("gate_text_prefer.0.weight",),
            "preferences.1.bias": ("gate_text_prefer.0.bias",),
        },
        {
            "bpr": (("bpr", 1.0),),
            "l2": (("l2", 0.01),),
            "contrastive": (("nce_item", 0.1), ("nce_user", 0.1)),
        },
        features=("image", "text"),
    ),
    Case(
        "lattice",
        {
            "embedding_size": 8,
            "n_layers": 3,
            "n_content_layers": 2,
            "n_neighbors": 5,
            "initial_share": 0.7,
            "l2_weight": 0.01,
            "l2_batch_size": 64,
        },
        {
            "embedding": ("user_embedding.weight", "item_id_embedding.weight"),
            **projections("image", "text"),
            "modality_logits": ("modal_weight",),
        },
        {"bpr": (("bpr", 1.0),), "l2": (("l2", 0.01),)},
        features=("image", "text"),
    ),
    Case(
        "mmgcn",
        {"embedding_size": 8, "latent_size": 12, "max_raw_size": 16, "reg_weight": 0.1, "official": True},
        mmgcn_networks(),
        {"bpr": (("bpr", 1.0),), "mean_square": (("reg_id", 0.1), ("reg_pref_v", 0.1))},
        features=("image", "text"),
        untrained={
            "embedding": "plain/id_embedding",
            "networks.0.preference": "plain/v_gcn.preference",
            "networks.1.preference": "plain/t_gcn.preference",
        },
    ),
    Case(
        "grcn",
        {"embedding_size": 8, "reg_weight": 0.1, "official": True},
        {
            "embedding": ("id_gcn.id_embedding",),
            "confidence": ("model_specific_conf",),
            "preferences.0": ("v_gcn.preference",),
            "preferences.1": ("t_gcn.preference",),
            **linears(projections__of__0__linear="v_gcn.MLP", projections__of__1__linear="t_gcn.MLP"),
        },
        {
            "bpr": (("bpr", 1.0),),
            "mean_square": tuple((f"reg_{n}", 0.1) for n in ("id", "pref_v_all", "pref_v", "pref_t")),
        },
        features=("image", "text"),
    ),
    Case(
        "dualgnn",
        {"embedding_size": 8, "hidden_size": 32, "reg_weight": 0.1, "official": True},
        {
            "preferences.0": ("v_gcn.preference",),
            "preferences.1": ("t_gcn.preference",),
            "user_weights": ("weight_u",),
            "item_weights": ("weight_i",),
            **linears(projections__of__0__linear="v_gcn.MLP", outputs__0="v_gcn.MLP_1"),
            **linears(projections__of__1__linear="t_gcn.MLP", outputs__1="t_gcn.MLP_1"),
        },
        {
            "bpr": (("bpr", 1.0),),
            "mean_square": tuple((f"reg_{n}", 0.1) for n in ("pref_v", "pref_t", "weight_u", "weight_i")),
        },
        features=("image", "text"),
        given=neighbors_of_the_epoch,
    ),
    Case(
        "slmrec",
        {"embedding_size": 8, "ssl_weight": 0.1, "ssl_temperature": 0.5},
        {
            "user_embedding": ("embedding_user.weight",),
            "item_embedding": ("embedding_item.weight",),
            **linears(projections__of__0__linear="v_dense", projections__of__1__linear="t_dense"),
            **linears(fuse_users="embedding_user_after_GCN", fuse_items="embedding_item_after_GCN"),
            **linears(anchors__0__0="g_i_iv", anchors__1__0="g_iv_iva", anchors__1__1="g_iva_ivat"),
            "targets.0.weight": ("g_v_iv.weight",),
            "targets.1.weight": ("g_t_ivat.weight",),
        },
        {"info_nce": (("main_infonce", 1.0),), "ssl": (("ssl_fac", 0.1),)},
        features=("image", "text"),
        link=torch.sigmoid,
    ),
]


def make(case: Case, golden: Golden, folder: Path, dtype: torch.dtype, **changed: Any) -> Backbone[Any]:
    data = golden.data(folder, *case.features)
    backbone = create_model(case.model, data, torch.Generator(), {**case.settings, **changed}).to(dtype)
    ours = dict(backbone.named_parameters())
    assert set(ours) == {*case.parameters, *case.untrained}, "every parameter of ours must come from the golden file"
    with torch.no_grad():
        for name, theirs in case.parameters.items():
            ours[name].copy_(stacked(golden, "param", theirs))
        for name, key in case.untrained.items():
            ours[name].copy_(golden.tensors[key])
    case.given(backbone, golden)
    return backbone


def stacked(golden: Golden, group: str, names: tuple[str, ...]) -> Tensor:
    tensor = torch.cat([golden.tensors[f"{group}/{name}"] for name in names])
    return tensor.squeeze(2) if tensor.dim() == 3 else tensor


@pytest.fixture(params=CASES, ids=lambda case: case.model)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_loss_terms_scores_and_gradients_equal_the_authors(case: Case, dtype: torch.dtype, goldens: Path) -> None:
    golden, tolerance = load_golden(goldens, case.model), TOLERANCE[dtype]
    backbone = make(case, golden, goldens, dtype)
    reps = backbone.represent()
    terms = backbone.losses(reps, golden.batch)
    assert set(terms) == set(case.terms)
    for name, parts in case.terms.items():
        expected = sum(weight * golden.tensors[f"loss/{theirs}"] for theirs, weight in parts)
        assert_close(terms[name].detach(), expected, tolerance, f"loss {name}")
    total = sum(terms.values())
    assert_close(total.detach(), golden.tensors["loss/total"], tolerance, "total loss")
    scores = case.link((reps.final.users @ reps.final.items.t()).detach())
    assert_close(scores, golden.tensors["scores"], tolerance, "scores")
    total.backward()
    for name, theirs in case.parameters.items():
        gradient = backbone.get_parameter(name).grad
        assert gradient is not None, f"{name} gets no gradient"
        assert_close(gradient, stacked(golden, "grad", theirs), tolerance, f"gradient of {name}")


def test_losses_follow_the_authors_over_adam_steps(case: Case, goldens: Path) -> None:
    golden = load_golden(goldens, case.model)
    for key, changed in case.trajectories.items():
        backbone = make(case, golden, goldens, torch.float64, **changed)
        optimizer = torch.optim.Adam(backbone.parameters(), lr=0.01)
        for step, expected in enumerate(golden.about[key]):
            optimizer.zero_grad()
            loss = sum(backbone.losses(backbone.represent(), golden.batch).values())
            assert_close(loss.detach(), expected, 2e-6, f"{key}, loss before step {step + 1}")
            loss.backward()
            optimizer.step()
