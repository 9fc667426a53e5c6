import shutil

import pytest

from alignrec.errors import ArtifactError, UsageError
from alignrec.studies.figures.recording import TRACES, record_again, trace_recorder


@pytest.fixture
def unwatched(watched, tmp_path):
    """The same run without its traces."""
    copy = shutil.copytree(watched, tmp_path / "runs" / "run")
    for name in TRACES:
        (copy / f"{name}.jsonl").unlink()
    return copy


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_made_by_training_again_is_the_one_made_while_training(watched, unwatched, name):
    record_again(unwatched, name)
    assert (unwatched / f"{name}.jsonl").read_bytes() == (watched / f"{name}.jsonl").read_bytes()
    assert [path.name for path in unwatched.parent.iterdir()] == ["run"]


def test_a_second_training_that_goes_another_way_leaves_no_trace(unwatched):
    log = unwatched / "metrics.jsonl"
    log.write_text(log.read_text().replace('"epoch": 2, "lr": 0.001', '"epoch": 2, "lr": 0.002'))
    with pytest.raises(ArtifactError, match=r"went another way than its metrics.jsonl says"):
        record_again(unwatched, "directions")
    assert not (unwatched / "directions.jsonl").exists()
    assert [path.name for path in unwatched.parent.iterdir()] == ["run"]


def test_a_whole_trace_is_left_alone_and_one_with_a_gap_made_anew(watched, unwatched):
    whole = (watched / "directions.jsonl").read_text()
    (unwatched / "directions.jsonl").write_text(whole)
    (unwatched / "metrics.jsonl").write_text("not read")
    record_again(unwatched, "directions")
    assert (unwatched / "directions.jsonl").read_text() == whole
    shutil.copy(watched / "metrics.jsonl", unwatched)
    (unwatched / "directions.jsonl").write_text("".join(whole.splitlines(keepends=True)[1:]))
    record_again(unwatched, "directions")
    assert (unwatched / "directions.jsonl").read_text() == whole


def test_an_unknown_trace_is_refused(unwatched, data):
    for call in (lambda: record_again(unwatched, "moods"), lambda: trace_recorder("moods", data, [], unwatched)):
        with pytest.raises(UsageError, match="unknown trace 'moods'; allowed: directions, forgetting"):
            call()


def test_directions_without_fettle_are_refused_before_the_training(unwatched, data):
    with pytest.raises(UsageError, match="which this run does not have; train it with --plugin fettle"):
        trace_recorder("directions", data, ["content"], unwatched, plugins=["bma"])
    trace_recorder("directions", data, ["content"], unwatched, plugins=["bma", "fettle"])
