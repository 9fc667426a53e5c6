import json
from dataclasses import replace
from pathlib import Path

import pytest

from alignrec.errors import ArtifactError
from alignrec.studies import Run, RunPlan

PLAN = RunPlan("bpr", {"name": "d", "hash": "1"}, {}, {"model": {"embedding_size": 8}}, 0, "cpu", 1)


def test_a_plan_survives_the_disk(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.start(PLAN, tmp_path, "alignrec train")
    assert run.plan == PLAN
    assert json.loads((run.path / "run.json").read_text())["command"] == "alignrec train"


def test_the_first_difference_of_plans_is_told_in_words() -> None:
    assert PLAN.difference(PLAN) is None
    assert replace(PLAN, seed=4).difference(PLAN) == "seed was 0, now 4"
    assert replace(PLAN, features={"a": "x"}).difference(PLAN) == "features a: was None, now 'x'"


def test_the_same_features_in_another_order_are_another_run() -> None:
    first, second = (
        replace(PLAN, features=dict(pairs)) for pairs in ([("a", "x"), ("b", "y")], [("b", "y"), ("a", "x")])
    )
    assert second.difference(first) == "features were in the order a, b, now b, a"


def test_plugins_are_the_sections_named_after_them() -> None:
    plugged = replace(PLAN, settings={**PLAN.settings, "plugin.uia": {"weight": 0.1}, "plugin.cca": {"weight": 1.0}})
    assert plugged.plugins == {"uia": {"weight": 0.1}, "cca": {"weight": 1.0}}
    assert PLAN.plugins == {}
    assert plugged.difference(PLAN) == "plugins were none, now uia, cca"
    assert PLAN.difference(plugged) == "plugins were uia, cca, now none"


def test_other_versions_are_no_difference() -> None:
    assert replace(PLAN, versions={"torch": "9"}).difference(PLAN) is None


def test_a_run_may_go_on_with_another_pace_of_checkpoints_but_not_with_another_learning_rate() -> None:
    first, later, other = (
        replace(PLAN, settings={"training": {"lr": lr, "checkpoint_seconds": pace}})
        for lr, pace in [(0.1, 30.0), (0.1, 5.0), (0.2, 30.0)]
    )
    assert later.difference(first) is None
    assert other.difference(first) == "settings training: lr: was 0.1, now 0.2"


def test_a_run_file_that_lacks_something_is_refused_by_name(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.start(PLAN, tmp_path, "alignrec train")
    stored = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(
        json.dumps({k: v for k, v in stored.items() if k not in ("seed", "dataset_path")})
    )
    with pytest.raises(ArtifactError, match=r"run\.json lacks seed, dataset_path; train the run anew"):
        _ = run.plan


def test_an_unfinished_run_cannot_be_opened(tmp_path: Path) -> None:
    Run(tmp_path / "run").start(PLAN, tmp_path, "x")
    with pytest.raises(ArtifactError, match="is not finished; go on with its command and --resume"):
        Run.open(tmp_path / "run")


def test_a_run_of_another_format_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.start(PLAN, tmp_path, "x")
    stored = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**stored, "format": 99}))
    with pytest.raises(ArtifactError, match="format 99, this version reads 1"):
        _ = run.plan
