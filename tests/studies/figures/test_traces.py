import json
from types import SimpleNamespace

import pytest
import torch

from alignrec.errors import ArtifactError
from alignrec.models import create_model
from alignrec.runtime import torch_rng
from alignrec.studies.figures.traces import TraceRecorder, read_lines, represented
from alignrec.training import Objective

OBJECTIVE = SimpleNamespace()


def test_a_run_that_goes_on_from_a_checkpoint_does_its_epochs_again_and_leaves_one_line_of_each(tmp_path):
    file = tmp_path / "trace.jsonl"
    killed = TraceRecorder(file, lambda _objective: {"by": "killed"})
    for epoch in (1, 2, 3):
        killed({"epoch": epoch}, OBJECTIVE)
    with file.open("a") as stream:
        stream.write('{"epoch": 4, "b')
    resumed = TraceRecorder(file, lambda _objective: {"by": "resumed"})
    for epoch in (3, 4):
        resumed({"epoch": epoch}, OBJECTIVE)
    assert [(line["epoch"], line["by"]) for line in read_lines(file)] == [
        (1, "killed"),
        (2, "killed"),
        (3, "resumed"),
        (4, "resumed"),
    ]


def test_a_new_run_drops_what_another_left(tmp_path):
    (tmp_path / "trace.jsonl").write_text('{"epoch": 1, "by": "another"}\n')
    TraceRecorder(tmp_path / "trace.jsonl", lambda _objective: {})({"epoch": 1}, OBJECTIVE)
    assert read_lines(tmp_path / "trace.jsonl") == [{"epoch": 1}]


def test_a_recorder_that_comes_in_the_middle_begins_there(tmp_path):
    TraceRecorder(tmp_path / "trace.jsonl", lambda _objective: {})({"epoch": 5}, OBJECTIVE)
    assert read_lines(tmp_path / "trace.jsonl") == [{"epoch": 5}]


@pytest.mark.parametrize("text", ["{", "3"])
def test_a_damaged_line_and_a_missing_file_are_refused(tmp_path, text):
    with pytest.raises(ArtifactError, match="does not exist"):
        read_lines(tmp_path / "trace.jsonl")
    (tmp_path / "trace.jsonl").write_text(f"{json.dumps({'epoch': 1})}\n{text}\n")
    with pytest.raises(ArtifactError, match="has a line that is not a JSON object"):
        read_lines(tmp_path / "trace.jsonl")


def test_looking_at_a_model_leaves_its_mode_and_the_random_numbers_alone(data):
    view = data.train_view(["content"])
    objective = Objective(create_model("freedom", view, torch_rng(0, "init"), {}))
    objective.backbone.start_epoch(torch_rng(0, "epoch"))
    for mode in (True, False):
        objective.train(mode)
        before = torch.get_rng_state()
        reps = represented(objective)
        assert objective.training == objective.backbone.training == mode
        assert torch.equal(torch.get_rng_state(), before)
        assert not reps.final.items.requires_grad
