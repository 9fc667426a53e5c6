import pytest

from alignrec.studies.tuning.proposals import Proposals, decode, distributions, encode
from alignrec.studies.tuning.space import build_space

optuna = pytest.importorskip("optuna")

LISTS = {"model.n_layers": [1, 2], "model.reg_weight": [0.1, 0.2, 0.3]}
RANGES = {"training.lr": "log:1e-4..1e-1", "model.n_layers": "0..4"}


@pytest.fixture(autouse=True)
def _silent(monkeypatch):
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def space_of(asked):
    return build_space("lightgcn", [], {}, asked, defaults=False)


def history(proposals, trials, value=lambda point: 0.0):
    """What is proposed for `trials` trials that all finish."""
    points, done = [], []
    while len(points) < trials and (point := proposals.next(done)) is not None:
        points.append(point)
        stored = encode(proposals.space, point)
        kinds = distributions(proposals.space)
        done.append(optuna.trial.create_trial(params=stored, distributions=kinds, value=value(point)))
    return points


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_every_point_of_a_finite_space_is_proposed_exactly_once(sampler):
    space = space_of(LISTS)
    points = history(Proposals(space, sampler, 0), 100)
    assert sorted(map(str, points)) == sorted(map(str, space.grid()))
    assert (points == list(space.grid())) == (sampler == "grid")


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_the_same_seed_proposes_the_same_and_another_seed_does_not(sampler):
    first, again, other = (history(Proposals(space_of(RANGES), sampler, seed), 5) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_draws_stay_in_their_range_with_few_digits():
    for point in history(Proposals(space_of(RANGES), "random", 0), 30):
        assert 1e-4 <= point["training.lr"] <= 1e-1
        assert point["training.lr"] == float(f"{point['training.lr']:.4g}")
        assert point["model.n_layers"] in range(5)


def test_a_range_narrower_than_its_digits_is_not_left():
    low, high = 0.12342, 0.12348  # four digits are below or above it
    for point in history(Proposals(space_of({"training.lr": f"{low}..{high}"}), "random", 0), 5):
        assert low <= point["training.lr"] <= high


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_settings_that_do_not_fit_together_are_not_proposed(sampler):
    asked = {f"plugin.bma.{name}_weight": [0.0, 0.1, 0.2] for name in ("intra", "inter")}
    space = build_space("lightgcn", ["bma"], {}, asked, defaults=False)
    for seed in range(3):
        points = [tuple(point.values()) for point in history(Proposals(space, sampler, seed), 100)]
        assert len(points) == 8
        assert (0.0, 0.0) not in points  # bma with nothing left of it


def test_tpe_comes_nearer_to_the_best_than_chance():
    def closeness(point):
        return -abs(point["model.reg_weight"] - 0.7)

    space = space_of({"model.reg_weight": "0..1"})
    late = {name: history(Proposals(space, name, 0), 40, closeness)[20:] for name in ("tpe", "random")}
    mean = {name: sum(map(closeness, points)) / len(points) for name, points in late.items()}
    assert mean["tpe"] > mean["random"] / 2


def test_any_value_of_a_setting_survives_being_stored():
    weights = [None, {"image": 0.1, "text": 0.9}]
    space = build_space("freedom", [], {}, {"model.modality_weights": weights, "training.lr": "0.1..0.2"})
    for value in weights:
        point = {"model.modality_weights": value, "training.lr": 0.15}
        assert decode(encode(space, point)) == point
