from dataclasses import replace

import numpy as np
import pytest
from datasets import small_dataset

from alignrec.data import Dataset
from alignrec.errors import ArtifactError, UsageError
from alignrec.studies import train
from alignrec.studies.figures.run_names import checked_names, name_runs, open_runs


def test_seeds_and_settings_tell_runs_apart(bpr):
    runs = open_runs([bpr["mid-1"], bpr["low"], bpr["mid-0"]])
    assert name_runs(runs) == [
        "bpr (model.reg_weight=0.1), seed 1",
        "bpr (model.reg_weight=0.001)",
        "bpr (model.reg_weight=0.1), seed 0",
    ]


def test_runs_on_two_datasets_carry_their_datasets_name(bpr, tmp_path):
    one = small_dataset(tmp_path / "one")
    swapped = replace(one.log, splits=np.array([0, 2, 1], np.int8)[one.log.splits])
    other = Dataset("other", one.users, one.items, swapped, one.catalogue).save(tmp_path / "other")
    run = train(other, model="bpr", out=tmp_path / "run", settings={"training": {"epochs": 1}})
    assert name_runs(open_runs([bpr["mid-0"], run.path])) == ["small: bpr", "other: bpr"]


def test_given_names_are_taken_if_there_is_one_for_each(bpr):
    runs = open_runs([bpr["low"], bpr["high"]])
    assert name_runs(runs, ["weak", "strong"]) == ["weak", "strong"]
    with pytest.raises(UsageError, match="1 labels for 2 runs; give one for each run"):
        name_runs(runs, ["weak"])
    with pytest.raises(UsageError, match="label 'weak' is given twice"):
        checked_names(["weak", "weak"], 2, "run")


def test_a_run_twice_no_run_and_a_folder_without_one_are_refused(bpr, tmp_path):
    with pytest.raises(UsageError, match="one model with one seed"):
        name_runs(open_runs([bpr["low"], bpr["low"]]))
    with pytest.raises(UsageError, match="no run given to draw"):
        open_runs([])
    for finished in (True, False):
        with pytest.raises(ArtifactError, match="no run in"):
            open_runs([tmp_path], finished=finished)
