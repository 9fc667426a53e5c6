import json

import pytest

from alignrec.artifacts import write_json
from alignrec.errors import ArtifactError
from alignrec.studies.pretraining_log import pretraining_table


def shown(folder):
    table = pretraining_table(folder)
    rows = zip(*(column.cells for column in table.columns), strict=True)
    return [column.header for column in table.columns], [list(row) for row in rows]


def write_run(folder, lines):
    write_json(folder / "plan.json", {"training": {"round_steps": 50}})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def entry(epoch, **probes):
    return {"epoch": epoch, "loss": {"mlm": 9.0}, "valid": {"ica": -3.0, "mlm": 2.0, "mim": 1 / epoch} | probes}


def test_probed_rounds_and_the_last_are_shown_by_step(tmp_path):
    recall = {"zero-shot cls recall@20": 0.125}
    write_run(tmp_path, [entry(1), entry(2, **recall), entry(3), entry(4, **recall), entry(5)])
    header, rows = shown(tmp_path)
    assert header == ["step", "mlm", "mim", "zero-shot cls recall@20"]
    assert rows == [
        ["100", "2.0000", "0.5000", "0.1250"],
        ["200", "2.0000", "0.2500", "0.1250"],
        ["250", "2.0000", "0.2000", ""],
    ]


def test_without_probes_a_long_run_is_thinned_to_twenty_rows(tmp_path):
    write_run(tmp_path, [entry(number) for number in range(1, 46)])
    header, rows = shown(tmp_path)
    assert header == ["step", "mlm", "mim"]
    assert [row[0] for row in rows] == [f"{50 * number:,}" for number in range(3, 46, 3)]


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="no log of a pre-training run"):
        pretraining_table(tmp_path)
