from typing import Any

import pytest
import torch
from torch.nn.functional import cosine_similarity

from alignrec.losses import PluginInputs, create_plugin
from alignrec.losses.bm3 import Bm3Alignment
from alignrec.types import Batch, Embeddings, Representations

BATCH = Batch(torch.tensor([0, 1, 1]), torch.tensor([3, 0, 3]), torch.tensor([1, 1, 1]))


def make(**settings: Any) -> Bm3Alignment:
    return create_plugin("bm3", PluginInputs(4, ("image", "text")), torch.Generator().manual_seed(0), settings)


def inputs() -> Representations:
    draw = torch.Generator().manual_seed(1)
    items, image, text, users = (torch.randn(5, 4, generator=draw).requires_grad_() for _ in range(4))
    return Representations(Embeddings(users, items), {"image": image, "text": text})


def test_equals_the_formula_without_dropout() -> None:
    plugin, reps = make(weight=2.0, dropout=0.0), inputs()
    terms = plugin(reps, BATCH)
    for name, target in (("id", lambda table: reps.final.items), ("self", lambda table: table)):
        parts = []
        for table in reps.content.values():
            predicted = table[BATCH.positives] @ plugin.predictor.t() + plugin.predictor_bias
            parts.append(1 - cosine_similarity(predicted, target(table)[BATCH.positives], dim=1).mean())
        torch.testing.assert_close(terms[name], 2.0 * sum(parts))


def test_what_a_modality_predicts_of_itself_is_a_constant_target() -> None:
    plugin, reps = make(weight=1.0, dropout=0.0), inputs()
    table = reps.content["image"]
    (found,) = torch.autograd.grad(plugin(reps, BATCH)["self"], table)
    rows = table[BATCH.positives]
    predicted = rows @ plugin.predictor.t() + plugin.predictor_bias
    (expected,) = torch.autograd.grad(1 - cosine_similarity(predicted, rows.detach(), dim=1).mean(), table)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("detach_id", [True, False])
def test_the_hosts_item_vectors_move_only_where_asked(detach_id: bool) -> None:
    reps = inputs()
    sum(make(detach_id=detach_id)(reps, BATCH).values()).backward()
    assert (reps.final.items.grad is None) == detach_id
    assert all(table.grad.abs().sum() > 0 for table in reps.content.values())


def test_dropout_is_on_in_training_only() -> None:
    plugin, reps = make(dropout=0.5), inputs()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert plugin(reps, BATCH)["id"] != plugin(reps, BATCH)["id"]
    plugin.eval()
    assert plugin(reps, BATCH)["id"] == plugin(reps, BATCH)["id"]
