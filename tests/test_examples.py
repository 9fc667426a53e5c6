"""The examples do what they say, and stay short."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from alignrec import Dataset, Recommender, Run, evaluate, train
from alignrec.studies import compare

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("quickstart")
    return folder, run("quickstart.py", folder, 60)


def run(name: str, *words: object) -> str:
    done = start(name, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def start(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_quickstart_probes_trains_and_recommends(quickstart: tuple[Path, str]) -> None:
    _, out = quickstart
    assert out.count("zero-shot") == out.count("item-cf") == 3
    assert "test recall@20" in out
    assert "shape: (5, 5)" in out


def test_segments_has_a_column_per_run(quickstart: tuple[Path, str]) -> None:
    folder, _ = quickstart
    out = run("segments.py", folder / "run")
    assert "segment" in out
    assert "run" in out.splitlines()[2]


def test_paired_compares_what_evaluation_reports(quickstart: tuple[Path, str]) -> None:
    folder, _ = quickstart
    other = train(folder / "shop", model="bpr", out=folder / "bpr", settings={"training": {"epochs": 2}})
    out = run("paired.py", folder / "run", "--", other.path)
    first, second = (evaluate(path).model["test"]["recall@20"] for path in (folder / "run", other.path))
    assert f"A {first:.4f}" in out
    assert f"B {second:.4f}" in out
    assert f"A - B {first - second:+.4f}" in out


def test_a_run_of_ones_own_model_is_evaluated_and_recommends_without_its_class(quickstart: tuple[Path, str]) -> None:
    folder, _ = quickstart
    run("own_model.py", folder / "shop", "tfidf", folder / "similar")
    made = Run.open(folder / "similar")
    assert made.plan.model == "similar-items"
    assert made.plan.settings["model"] == {"size": 32, "n_neighbors": 10}
    assert made.plan.settings["training"]["lr"] == 0.01
    assert evaluate(made).model["test"].n_users == made.dataset().n_users
    assert compare([made.path]).tables[0].groups[0].label == "similar-items [tfidf]"
    assert len(Recommender.load(made.path).recommend([made.dataset().users.ids[0]], k=5)) == 5


def test_a_studys_processes_know_ones_own_model(quickstart: tuple[Path, str]) -> None:
    folder, _ = quickstart
    study = folder / "study.yaml"
    study.write_text(
        f"name: own\ndatasets: {{shop: {folder / 'shop'}}}\nseeds: [1, 2]\nrows: [{{label: own, model: similar-items,"
        " features: [tfidf], settings: {training.epochs: 1}}]\n"
    )
    words = ["--import", str(EXAMPLES / "own_model.py"), "study", "compare", str(study), "--out", str(folder / "study")]
    done = subprocess.run([sys.executable, "-m", "alignrec", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "study" / "table.md").read_text().count("| own |") == 1
    code = {tuple(Run.open(path.parent).plan.code) for path in folder.glob("**/runs/*/run.json")}
    assert code == {("model",)}


def test_the_terms_of_ones_own_plugin_are_logged_and_its_settings_recorded(quickstart: tuple[Path, str]) -> None:
    folder, _ = quickstart
    run("own_plugin.py", folder / "shop", "lightgcn", folder / "spread")
    lines = [json.loads(line) for line in (folder / "spread" / "metrics.jsonl").read_text().splitlines()]
    assert all(line["loss"]["spread.items"] < 0 for line in lines)
    assert Run.open(folder / "spread").plan.plugins == {"spread": {"weight": 0.1}}


def test_ones_own_source_becomes_a_dataset_with_titles_split_by_time(tmp_path: Path) -> None:
    assert run("own_source.py", EXAMPLES / "orders.jsonl", tmp_path / "orders").startswith("10 users and 10 items in ")
    dataset = Dataset.load(tmp_path / "orders")
    assert "green tea, loose" in dataset.catalogue.frame["title"].to_list()
    assert dataset.split("test").nnz == dataset.split("valid").nnz == dataset.n_users


def test_ones_own_source_names_the_malformed_line_and_leaves_nothing_behind(tmp_path: Path) -> None:
    orders = tmp_path / "orders.jsonl"
    orders.write_text(
        (EXAMPLES / "orders.jsonl").read_text() + '{"customer": "ada", "day": "yesterday", "basket": {}}\n'
    )
    done = start("own_source.py", orders, tmp_path / "orders")
    assert done.returncode == 1
    assert "orders.jsonl line 31: not an order" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "orders").exists()


def test_lists_made_elsewhere_are_measured_as_our_own(quickstart: tuple[Path, str]) -> None:
    folder, _ = quickstart
    recommender = Recommender.load(folder / "run")
    lists = recommender.recommend(recommender.dataset.users.ids, k=20, exclude="train")
    lists.sample(fraction=1.0, shuffle=True, seed=0).write_csv(folder / "lists.csv")  # rows in any order
    report = evaluate(folder / "run").model["test"]
    expected = "".join(f"{name} {report[name]:.4f}\n" for name in ("recall@20", "ndcg@20", "coverage@20"))
    assert run("own_ranking.py", folder / "shop", folder / "lists.csv") == expected


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_examples_have_at_most_forty_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 40
