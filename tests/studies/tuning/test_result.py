import csv
import io

from alignrec.studies.tuning.result import SELECTED_ON_TEST, TuneResult, TuneTask, run_folders
from alignrec.studies.tuning.trials import Trial

TASK = TuneTask(
    model="lightgcn",
    dataset={"name": "small", "hash": "0"},
    features={"content": "1"},
    plugins=("uia",),
    settings={"training": {"epochs": 2}},
    space={"model.n_layers": [1, 2], "plugin.uia.weight": "log:0.01..1.0"},
    sampler="random",
    seed=0,
    seeds=(3,),
    pruner="none",
    metric="recall@20",
)


def point(layers, weight):
    return {"model.n_layers": layers, "plugin.uia.weight": weight}


def result(tmp_path, **changed):
    trials = (
        Trial(0, "complete", point(1, 0.5), 0.2, {3: 0.2}, {3: 7}),
        Trial(1, "complete", point(2, 0.1), 0.3, {3: 0.3}, {3: 9}),
        Trial(2, "pruned", point(1, 0.01), 0.9, {}, {3: 1}),
        Trial(3, "failed", point(2, 1.0), None, reason="loss is not finite"),
        Trial(4, "complete", point(2, 0.2), 0.3, {3: 0.3}, {3: 9}),
    )
    values = {"folder": tmp_path / "tune", "task": TASK, "dataset": tmp_path / "my data", "planned": 6}
    return TuneResult(**(values | {"trials": trials} | changed))


def test_the_best_is_the_first_of_those_that_finished_with_the_highest_validation(tmp_path):
    assert result(tmp_path).best.number == 1
    assert result(tmp_path, trials=()).best is None


def test_selecting_on_test_names_another_trial_and_never_changes_the_choice(tmp_path):
    found = result(tmp_path, tests={0: 0.4, 1: 0.25, 4: 0.1})
    assert (found.best.number, found.best_on_test.number) == (1, 0)
    record = found.as_dict()
    assert (record["best"]["trial"], record["best"]["test"]) == (1, 0.25)
    assert (record["selected_on_test"]["trial"], record["selected_on_test"]["warning"]) == (0, SELECTED_ON_TEST)
    assert "selected_on_test" not in result(tmp_path).as_dict()


def test_the_train_command_names_everything_that_decides_a_run_quoted_for_a_shell(tmp_path):
    command = result(tmp_path).train_command(point(2, 1e-05), 3, "cpu", 1, tmp_path / "run")
    assert command == (
        f"alignrec train '{tmp_path}/my data' --model lightgcn --features content --plugin uia "
        "--set training.epochs=2 --set model.n_layers=2 --set plugin.uia.weight=1e-05 "
        f"--seed 3 --device cpu --threads 1 --out {tmp_path}/run"
    )


def test_a_metric_that_evaluation_does_not_measure_by_itself_is_named(tmp_path):
    trial = result(tmp_path).trials[0]
    folder = tmp_path / "tune" / "trials" / "0000"
    assert result(tmp_path).evaluate_commands(trial) == [f"alignrec evaluate {folder}"]
    odd = result(tmp_path, task=TuneTask(**(vars(TASK) | {"metric": "ndcg@7"})))
    assert odd.evaluate_commands(trial) == [f"alignrec evaluate {folder} --metric ndcg@7"]


def test_several_seeds_have_a_folder_each(tmp_path):
    assert run_folders(tmp_path, 12, [0]) == {0: tmp_path / "trials" / "0012"}
    assert run_folders(tmp_path, 12, [0, 5])[5] == tmp_path / "trials" / "0012" / "seed-5"


def test_the_csv_has_a_line_per_trial_in_full_precision(tmp_path):
    lines = list(csv.DictReader(io.StringIO(result(tmp_path).to_csv())))
    assert [line["state"] for line in lines] == ["complete", "complete", "pruned", "failed", "complete"]
    assert [line["plugin.uia.weight"] for line in lines] == ["0.5", "0.1", "0.01", "1.0", "0.2"]
    assert (lines[1]["valid.recall@20"], lines[1]["epochs"], lines[3]["reason"]) == ("0.3", "9", "loss is not finite")
    assert "test.recall@20" not in lines[0]


def test_the_csv_of_several_seeds_has_the_value_of_each_beside_their_mean(tmp_path):
    task = TuneTask(**(vars(TASK) | {"seeds": (3, 5)}))
    trials = (
        Trial(0, "complete", point(1, 0.5), 0.25, {3: 0.2, 5: 0.3}, {3: 7, 5: 8}),
        Trial(1, "failed", point(2, 0.5), None, {3: 0.1}, {3: 7}, "loss is not finite"),
    )
    full, half = csv.DictReader(io.StringIO(result(tmp_path, task=task, trials=trials, tests={0: 0.4}).to_csv()))
    names = [f"valid.recall@20{end}" for end in ("", ".seed-3", ".seed-5")] + ["test.recall@20", "epochs", "reason"]
    assert [full[name] for name in names] == ["0.25", "0.2", "0.3", "0.4", "7 8", ""]
    assert [half[name] for name in names] == ["", "0.1", "", "", "7", "loss is not finite"]


def test_the_terminal_shows_the_value_of_every_trial_that_has_one(tmp_path):
    table = result(tmp_path, tests={0: 0.4}).to_terminal()
    cells = {str(column.header): [str(cell) for cell in column.cells] for column in table.columns}
    assert cells["valid recall@20"] == ["0.2000", "0.3000", "0.9000", "", "0.3000"]
    assert cells["test recall@20"] == ["0.4000", "", "", "", ""]


def test_settings_of_one_name_are_told_apart_in_the_table(tmp_path):
    space = {"model.weight": [1], "plugin.uia.weight": [1], "model.n_layers": [1]}
    found = result(tmp_path, task=TuneTask(**(vars(TASK) | {"space": space})), trials=())
    heads = [str(column.header) for column in found.to_terminal().columns]
    assert heads[1:4] == ["model.weight", "plugin.uia.weight", "n_layers"]


def test_another_task_is_named_by_its_first_difference():
    stored = TASK.as_json()
    assert TASK.difference(stored) is None
    assert TASK.difference(stored | {"seed": 1}) == "seed was 1, now 0"
    assert TASK.difference(stored | {"space": {}}) == "space model.n_layers was None, now [1, 2]"
