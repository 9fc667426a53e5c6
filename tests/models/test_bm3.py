import pytest
import torch
from checkerboard import checkerboard, with_modalities
from golden import assert_close, load_golden

from alignrec.models import bm3 as module
from alignrec.models import create_model
from alignrec.types import Batch, TrainData

BATCH = Batch(torch.tensor([0, 1, 2, 2]), torch.tensor([2, 3, 4, 4]), torch.tensor([1, 0, 5, 7]))


def make(data: TrainData | None = None, **settings):
    values = {"embedding_size": 8, **settings}
    return create_model("bm3", data or checkerboard()[0], torch.Generator().manual_seed(0), values)


def test_with_the_authors_masks_the_loss_and_its_gradients_are_theirs(goldens, monkeypatch) -> None:
    golden = load_golden(goldens, "bm3")
    settings = {"embedding_size": 8, "n_layers": 2, "dropout": 0.5, "content_weight": 1.5}
    model = create_model("bm3", golden.data(goldens, "image", "text"), torch.Generator(), settings).double()
    stacked = torch.cat([golden.tensors[f"param/{name}.weight"] for name in ("user_embedding", "item_id_embedding")])
    values = {"embedding": stacked}
    theirs = {"predictor": "predictor", "projections.of.0.linear": "image_trs", "projections.of.1.linear": "text_trs"}
    pairs = {f"{o}.{part}": f"{t}.{part}" for o, t in theirs.items() for part in ("weight", "bias")}
    pairs |= {f"projections.of.{n}.table": f"{name}_embedding.weight" for n, name in enumerate(("image", "text"))}
    with torch.no_grad():
        for ours, tensor in (values | {o: golden.tensors[f"param/{t}"] for o, t in pairs.items()}).items():
            model.get_parameter(ours).copy_(tensor)
    users, items = torch.unique(golden.batch.users), torch.unique(golden.batch.positives)
    rows = iter([("user", users), ("item", items), ("image", items), ("text", items)])

    def with_stored_mask(x, p, training):
        name, ids = next(rows)
        assert (p, training) == (0.5, True)
        return x * golden.tensors[f"variant/dropout/mask_{name}"][ids] * 2

    monkeypatch.setattr(module, "dropout", with_stored_mask)
    total = sum(model.losses(model.represent(), golden.batch).values())
    assert_close(total.detach(), golden.tensors["variant/dropout/total"], 1e-6, "total")
    total.backward()
    for ours, name in pairs.items():
        if f"variant/dropout/grad/{name}" in golden.tensors:
            expected = golden.tensors[f"variant/dropout/grad/{name}"]
            assert_close(model.get_parameter(ours).grad, expected, 1e-6, f"gradient of {ours}")


def test_negatives_do_not_matter() -> None:
    model = make(dropout=0.0)
    others = Batch(BATCH.users, BATCH.positives, BATCH.negatives + 9)
    for name, term in model.losses(model.represent(), BATCH).items():
        assert torch.equal(model.losses(model.represent(), others)[name], term)


def test_the_seeded_loop_decides_the_masks_and_evaluation_has_none() -> None:
    model = make(dropout=0.5)

    def rec(seed: int) -> float:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return float(model.losses(model.represent(), BATCH)["rec"].detach())

    assert rec(1) == rec(1) != rec(2)
    model.eval()
    assert rec(1) == rec(2)


@pytest.mark.parametrize("sizes", [(5,), (6, 3, 2)])
def test_each_modality_adds_its_two_terms(sizes) -> None:
    model = make(with_modalities(*sizes), dropout=0.0, content_weight=1.0)
    reps = model.represent()
    terms = model.losses(reps, BATCH)
    cosine = torch.nn.functional.cosine_similarity
    items = reps.views["online"].items[BATCH.positives]
    align = mask = 0.0
    for table in reps.content.values():
        predicted = model.predictor(table[BATCH.positives])
        align += 1 - cosine(predicted, items).mean()
        mask += 1 - cosine(predicted, table[BATCH.positives]).mean()
    torch.testing.assert_close(terms["align"], align)
    torch.testing.assert_close(terms["mask"], mask)


def test_without_content_only_ids_are_trained() -> None:
    model = make(content_weight=0)
    assert set(model.losses(model.represent(), BATCH)) == {"rec", "norm"}


def test_the_content_view_is_the_mean_of_the_modalities() -> None:
    reps = make(with_modalities(4, 3)).represent()
    first, second = reps.content.values()
    torch.testing.assert_close(reps.views["content"].items, (first + second) / 2)
