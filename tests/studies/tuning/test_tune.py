import json
import math
import shlex
from dataclasses import replace

import numpy as np
import pytest
from datasets import small_dataset

from alignrec.artifacts import hash_file
from alignrec.data import ShopSettings, draw_shop
from alignrec.errors import DataError, SettingsError, TrainingError, UsageError
from alignrec.models import LightGCN
from alignrec.studies import Run, tune
from alignrec.studies.tuning.result import SELECTED_ON_TEST

pytest.importorskip("optuna")

SETTINGS = {"model": {"embedding_size": 4}, "training": {"epochs": 1}}
SPACE = {"model.n_layers": [0, 1], "training.lr": [0.1, 0.01]}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return draw_shop(
        tmp_path_factory.mktemp("shop") / "shop", settings=ShopSettings(items=40, users=30, pictures=False)
    )


def search(shop, out, **changed):
    return tune(
        shop, **{"model": "lightgcn", "out": out, "settings": SETTINGS, "space": SPACE, "defaults": False} | changed
    )


def test_a_grid_is_exhausted_exactly_once_and_every_trial_is_a_run(shop, tmp_path):
    said = []
    result = search(shop, tmp_path / "tune", announce=said.append)
    assert said[0] == "tuning lightgcn on shop: 4 trials of 4 points, grid over model.n_layers x 2, training.lr x 2"
    points = [tuple(trial.parameters.values()) for trial in result.trials]
    assert points == [(0, 0.1), (0, 0.01), (1, 0.1), (1, 0.01)]
    for trial in result.trials:
        run = Run.open(result.runs(trial)[0])
        assert run.plan.settings["model"]["n_layers"] == trial.parameters["model.n_layers"]
        report = run.report()
        assert report["valid"]["recall@20"] == trial.value == trial.values[0]
        assert "test" not in report, "the test split stays closed"
    assert result.best.value == max(trial.value for trial in result.trials)
    again = search(shop, tmp_path / "tune")
    assert again.trials == result.trials


def test_the_printed_command_trains_the_best_run_again_to_the_byte(shop, tmp_path, monkeypatch):
    from typer import Typer
    from typer.testing import CliRunner

    from alignrec.cli.train import train as train_command

    result = search(shop, tmp_path / "tune", trials=2)
    (command,) = result.train_commands(result.best)
    words = shlex.split(command)
    app = Typer()
    app.command()(train_command)
    assert CliRunner().invoke(app, words[2:]).exit_code == 0
    first, again = result.runs(result.best)[0], words[-1]
    assert first != again
    for name in ("model.safetensors", "metrics.jsonl", "report.json"):
        assert hash_file(first / name) == hash_file(type(first)(again) / name)


def test_more_trials_go_on_with_a_search(shop, tmp_path):
    few = search(shop, tmp_path / "tune", sampler="random", trials=1)
    more = search(shop, tmp_path / "tune", sampler="random", trials=3)
    assert (len(few.trials), len(more.trials)) == (1, 3)
    assert more.trials[:1] == few.trials


def test_the_same_seed_makes_the_same_trials(shop, tmp_path):
    drawn = {"sampler": "tpe", "space": {"training.lr": "log:1e-3..1e-1"}, "trials": 2, "seed": 1}
    first, again = (search(shop, tmp_path / name, **drawn) for name in "ab")
    assert first.to_csv() == again.to_csv()


def test_a_trial_is_worth_the_mean_of_its_seeds(shop, tmp_path):
    result = search(shop, tmp_path / "tune", trials=1, seeds=[3, 4], select="test")
    (trial,) = result.trials
    reports = {seed: Run.open(path).report() for seed, path in result.runs(trial).items()}
    assert set(reports) == {3, 4}
    assert trial.values == {seed: report["valid"]["recall@20"] for seed, report in reports.items()}
    assert trial.value == pytest.approx(sum(trial.values.values()) / 2)
    assert result.tests[0] == pytest.approx(sum(report["test"]["recall@20"] for report in reports.values()) / 2)
    folders = [command.rpartition(" --out ")[2] for command in result.train_commands(trial)]
    assert folders == [str(tmp_path / f"tune-trial-0-seed-{seed}") for seed in (3, 4)]


def test_pruning_ends_a_trial_early_and_leaves_a_line_but_no_report(shop, tmp_path):
    dataset = small_dataset(tmp_path / "small")
    space = {"training.lr": [0.1, 0.09, 0.08, 0.07, 0.06, 1e-7]}  # the last learns nothing
    settings = {"training": {"epochs": 6, "batch_size": 64}}
    result = search(
        dataset, tmp_path / "tune", model="bpr", space=space, settings=settings, pruner="median", metric="ndcg@4"
    )
    assert [trial.state for trial in result.trials] == ["complete"] * 5 + ["pruned"]
    pruned = result.trials[-1]
    assert pruned.epochs[0] < 6
    folder = result.runs(pruned)[0]
    assert not (folder / "report.json").exists()
    assert not (folder / "checkpoint").exists()
    assert (tmp_path / "tune" / "tune.csv").read_text().splitlines()[-1].startswith("5,pruned,1e-07,")


def test_selecting_on_test_is_shown_beside_the_honest_choice_with_a_warning(shop, tmp_path):
    out = tmp_path / "tune"
    honest = search(shop, out)
    shown = search(shop, out, select="test")
    assert shown.best == honest.best
    assert set(shown.tests) == {0, 1, 2, 3}
    assert shown.tests[shown.best_on_test.number] == max(shown.tests.values())
    for trial in shown.trials:
        assert Run.open(shown.runs(trial)[0]).report()["test"]["recall@20"] == shown.tests[trial.number]
    stored = json.loads((out / "tune.json").read_text())["result"]
    assert stored["selected_on_test"]["warning"] == SELECTED_ON_TEST


def test_another_metric_stops_and_compares_the_trials(shop, tmp_path):
    result = search(shop, tmp_path / "tune", metric="ndcg@7", trials=1)
    run = Run.open(result.runs(result.trials[0])[0])
    assert run.plan.settings["training"]["metric"] == "ndcg@7"
    assert run.report()["valid"]["ndcg@7"] == result.best.value


def test_where_no_trial_can_be_trained_the_reason_is_told(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(LightGCN, "losses", lambda self, reps, batch: {"bpr": reps.final.users.sum() * math.nan})
    with pytest.raises(TrainingError, match="none of 2 trials was trained to its end: loss term bpr is not finite"):
        search(shop, tmp_path / "tune", trials=2)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"space": {"model.n_layer": [1]}}, SettingsError, r"unknown setting 'model\.n_layer'; did you mean"),
        ({"settings": {"training": {"lrr": 1}}}, SettingsError, r"unknown setting 'training\.lrr'"),
        ({"settings": {"training": {"metric": "ndcg@5"}}}, SettingsError, "give it as --metric"),
        ({"metric": "recal@20"}, UsageError, "unknown metric 'recal@20'"),
        ({"trials": 0}, UsageError, "trials must be at least 1, not 0"),
        ({"seeds": [1, 1]}, UsageError, r"seeds \[1, 1\] are not different numbers"),
        ({"model": "alignrec", "space": {"training.lr": [0.1]}}, SettingsError, "add --features NAME"),
        ({"plugins": ["fettle"]}, SettingsError, "plugin 'fettle' needs item features"),
        ({"space": {"training.lr": "0.1..0.2"}}, SettingsError, "a grid needs lists"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_is_written(shop, tmp_path, changed, error, message):
    with pytest.raises(error, match=message):
        search(shop, tmp_path / "tune", **changed)
    assert not (tmp_path / "tune").exists()


def test_a_dataset_without_validation_is_refused(shop, tmp_path):
    log = shop.log
    splits = np.where(log.splits == 1, 0, log.splits).astype(log.splits.dtype)
    small = replace(shop, log=replace(log, splits=splits))
    with pytest.raises(DataError, match="empty validation split"):
        search(small, tmp_path / "tune")
    assert not (tmp_path / "tune").exists()
