import pytest
import torch
from checkerboard import checkerboard

from alignrec.errors import TrainingError
from alignrec.models import create_model
from alignrec.runtime import torch_rng
from alignrec.training import Objective, RowAdam, TrainingSettings, embed, fit
from alignrec.training.recommender import TripleSource, make_optimizer
from alignrec.types import Batch, Embeddings

SEED = 7


def better_every_time():
    values = iter(range(1, 1000))
    return lambda _embeddings: {"recall@20": float(next(values))}


def new_objective(model: str = "lightgcn") -> Objective:
    data, _ = checkerboard()
    settings = {"embedding_size": 8, **({"n_neighbors": 4} if model == "alignrec" else {})}
    return Objective(create_model(model, data, torch_rng(SEED, "init"), settings))


@pytest.mark.parametrize("model", ["bpr", "lightgcn", "alignrec"])
def test_three_steps_of_fit_equal_three_steps_of_a_plain_loop(model: str) -> None:
    data, _ = checkerboard()
    batch_size = -(-data.interactions.nnz // 3)  # three steps are one epoch
    ours = new_objective(model)
    fit(ours, data, TrainingSettings(epochs=1, batch_size=batch_size, lr=0.01), better_every_time(), seed=SEED)

    plain = new_objective(model)
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.01)  # neither fused nor scheduled
    for batch in TripleSource(data, batch_size, SEED, torch.device("cpu")).epoch(1):
        optimizer.zero_grad()
        sum(plain(batch).values()).backward()
        optimizer.step()

    for name, expected in plain.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], expected, rtol=1e-5, atol=1e-7, msg=name)


def test_two_epochs_with_decay_use_the_decayed_rate() -> None:
    data, _ = checkerboard()
    settings = TrainingSettings(epochs=2, batch_size=4096, lr=0.01, lr_decay=0.5, lr_decay_epochs=1)
    ours = new_objective()
    result = fit(ours, data, settings, better_every_time(), seed=SEED)
    plain = new_objective()
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.01)
    source = TripleSource(data, 4096, SEED, torch.device("cpu"))
    for epoch, rate in ((1, 0.01), (2, 0.005)):
        optimizer.param_groups[0]["lr"] = rate
        for batch in source.epoch(epoch):
            optimizer.zero_grad()
            sum(plain(batch).values()).backward()
            optimizer.step()
    assert [line["lr"] for line in result.history] == [0.01, 0.005]
    embedding = ours.state_dict()["backbone.embedding"]
    torch.testing.assert_close(embedding, plain.state_dict()["backbone.embedding"], rtol=1e-5, atol=1e-7)


def test_an_epoch_holds_every_training_interaction_once() -> None:
    data, _ = checkerboard()
    source = TripleSource(data, 100, SEED, torch.device("cpu"))
    batches = list(source.epoch(1))
    assert len(batches) == source.steps()
    pairs = {(u, i) for b in batches for u, i in zip(b.users.tolist(), b.positives.tolist(), strict=True)}
    assert pairs == set(zip(*(part.tolist() for part in data.interactions.nonzero()), strict=True))
    assert sum(len(b) for b in batches) == data.interactions.nnz


def test_epochs_differ_and_the_same_epoch_repeats() -> None:
    data, _ = checkerboard()
    source = TripleSource(data, 4096, SEED, torch.device("cpu"))
    first, again, second = (next(iter(source.epoch(e))) for e in (1, 1, 2))
    assert torch.equal(first.negatives, again.negatives)
    assert not torch.equal(first.users, second.users)


def test_the_weights_left_are_those_of_the_best_epoch() -> None:
    data, _ = checkerboard()
    seen: list[Embeddings] = []
    values = iter([0.1, 0.3, 0.2, 0.3, 0.1])

    def validate(embeddings: Embeddings) -> dict[str, float]:
        seen.append(Embeddings(embeddings.users.clone(), embeddings.items.clone()))
        return {"recall@20": next(values)}

    objective = new_objective()
    result = fit(objective, data, TrainingSettings(epochs=5, lr=0.05), validate, seed=SEED)
    assert (result.best_epoch, result.best_value, result.status) == (2, 0.3, "epochs")  # a tie is no improvement
    assert torch.equal(embed(objective).users, seen[1].users)


def test_stops_when_the_patience_is_exceeded() -> None:
    data, _ = checkerboard()
    settings = TrainingSettings(epochs=100, patience=3)
    result = fit(new_objective(), data, settings, lambda _e: {"recall@20": 0.5}, seed=SEED)
    assert (result.status, result.epochs, result.best_epoch) == ("patience", 5, 1)


def test_a_loss_that_is_not_finite_is_an_error_that_names_epoch_and_term() -> None:
    data, _ = checkerboard()
    objective = new_objective()
    with torch.no_grad():
        objective.backbone.embedding[0, 0] = float("nan")
    with pytest.raises(
        TrainingError, match=r"loss term bpr, norm is not finite in epoch 1, step 1; lower training\.lr"
    ):
        fit(objective, data, TrainingSettings(epochs=1, batch_size=4096), better_every_time(), seed=SEED)


def test_a_validation_metric_that_is_missing_is_an_error() -> None:
    data, _ = checkerboard()
    with pytest.raises(TrainingError, match=r"gives no 'recall@20'; training\.metric can be: hit@5"):
        fit(new_objective(), data, TrainingSettings(epochs=1), lambda _e: {"hit@5": 0.1}, seed=SEED)


def test_losses_are_logged_by_name_and_add_up() -> None:
    data, _ = checkerboard()
    result = fit(new_objective("alignrec"), data, TrainingSettings(epochs=1), better_every_time(), seed=SEED)
    losses = result.history[0]["loss"]
    assert set(losses) == {"bpr", "l2", "cca", "uia", "reg", "total"}
    assert losses["total"] == pytest.approx(sum(v for k, v in losses.items() if k != "total"))


def test_dropout_draws_depend_on_seed_and_epoch_and_not_on_the_caller() -> None:
    class Noisy(torch.nn.Module):
        def forward(self, reps, batch):
            return {"users": torch.nn.functional.dropout(reps.final.users, 0.5, self.training).square().mean()}

    data, _ = checkerboard()
    losses = []
    for outer_seed in (1, 2):
        torch.manual_seed(outer_seed)
        objective = Objective(new_objective().backbone, {"noisy": Noisy()})
        result = fit(objective, data, TrainingSettings(epochs=2), better_every_time(), seed=SEED)
        losses.append([line["loss"]["noisy.users"] for line in result.history])
        state = torch.random.get_rng_state()
        torch.manual_seed(outer_seed)
        assert torch.equal(state, torch.random.get_rng_state())
    assert losses[0] == losses[1]


def test_a_users_own_items_are_never_negatives() -> None:
    data, _ = checkerboard()
    batch = next(iter(TripleSource(data, 4096, SEED, torch.device("cpu")).epoch(1)))
    matrix = data.interactions.toarray()
    assert not matrix[batch.users.numpy(), batch.negatives.numpy()].any()


def test_gradients_of_tables_stay_factors_on_the_cpu_unless_the_norm_of_all_is_wanted() -> None:
    kinds = []
    for clip in (None, 1.0):
        data, _ = checkerboard()
        objective = Objective(create_model("freedom", data, torch.Generator().manual_seed(0), {"n_neighbors": 3}))
        settings = TrainingSettings(weight_decay=0.1, gradient_clip=clip)
        optimizer = make_optimizer(objective, settings, torch.device("cpu"))
        optimizer.zero_grad()
        torch.stack(list(objective(Batch(*torch.tensor([[0], [0], [1]]))).values())).sum().backward()
        table = next(p for name, p in objective.named_parameters() if name.endswith("table"))
        kinds.append((type(optimizer), table.grad is None, optimizer.param_groups[0]["weight_decay"]))
    assert kinds == [(RowAdam, True, 0.1), (torch.optim.Adam, False, 0.1)]
