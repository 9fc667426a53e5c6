"""Loss terms, scores, gradients and a short training agree with the numbers of the authors' code."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from golden import Golden, assert_close, load_golden
from torch import Tensor

from alignrec.models import Backbone, create_model

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
            "features": ("mm_embedding.weight",),
            "project.weight": ("mm_trs.weight",),
            "project.bias": ("mm_trs.bias",),
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
]


def make(case: Case, golden: Golden, folder: Path, dtype: torch.dtype, **changed: Any) -> Backbone[Any]:
    data = golden.data(folder, *case.features)
    backbone = create_model(case.model, data, torch.Generator(), {**case.settings, **changed}).to(dtype)
    ours = dict(backbone.named_parameters())
    assert set(ours) == set(case.parameters), "every parameter of ours must come from the golden file"
    with torch.no_grad():
        for name, theirs in case.parameters.items():
            ours[name].copy_(stacked(golden, "param", theirs))
    return backbone


def stacked(golden: Golden, group: str, names: tuple[str, ...]) -> Tensor:
    return torch.cat([golden.tensors[f"{group}/{name}"] for name in names])


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
    assert_close((reps.final.users @ reps.final.items.t()).detach(), golden.tensors["scores"], tolerance, "scores")
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
