import math
from pathlib import Path

import pytest
from datasets import small_dataset

from alignrec.studies import train
from alignrec.studies.tracking.sink import TrackedRun, epoch_values, missing_extra, series_name


def test_a_metric_gets_a_name_that_every_tracker_takes() -> None:
    assert series_name("valid/recall@20") == "valid/recall_at_20"
    assert series_name("loss/fettle.ila") == "loss/fettle.ila"
    assert series_name("loss/a+b") == "loss/a_b"


def test_an_epoch_gives_its_rate_its_losses_and_its_validation() -> None:
    line = {"epoch": 3, "lr": 0.1, "loss": {"bpr": 0.5, "total": 0.5}, "valid": {"recall@20": 0.2}}
    expected = {"lr": 0.1, "loss/bpr": 0.5, "loss/total": 0.5, "valid/recall_at_20": 0.2}
    assert epoch_values(line) == expected


def test_an_epoch_without_validation_has_no_validation_point_and_what_is_no_number_is_left_out() -> None:
    assert epoch_values({"epoch": 3, "lr": None, "loss": {"a": math.nan, "b": 1.0}}) == {"loss/b": 1.0}


def test_a_run_is_described_by_its_whole_plan_as_it_would_be_set(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "small")
    settings = {"model": {"embedding_size": 4}, "training": {"epochs": 1}}
    run = train(
        dataset, model="bpr", features=["content"], plugins=["uia"], settings=settings, seed=3, out=tmp_path / "r"
    )
    tracked = TrackedRun.of(run)
    assert tracked.name == "r"
    assert tracked.parameters["training.epochs"] == 1
    texts = tracked.texts()
    assert (texts["model"], texts["features"], texts["seed"]) == ("bpr", "content", "3")
    assert (texts["plugin.uia.weight"], texts["training.gradient_clip"]) == ("0.1", "null")
    assert texts["dataset.hash"] == dataset.content_hash
    assert texts["features.hash"] == dataset.features("content").content_hash
    told = {name for name in texts if name.startswith("training.")}
    assert told == {f"training.{name}" for name in run.plan.settings["training"]}


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_tracker_that_is_absent_is_one_line_with_the_command_to_install_it(name: str) -> None:
    message = str(missing_extra(name, "a-package"))
    assert message.endswith(f"pip install 'alignrec[{name}]'")
    assert "\n" not in message
