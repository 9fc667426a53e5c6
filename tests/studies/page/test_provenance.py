import html
import re
from dataclasses import replace

import pytest
import yaml

from alignrec.studies.page.provenance import file_name, provenance_markup, reproduction_markup, study_yaml
from alignrec.studies.page.results import gather_results
from alignrec.studies.study_settings import StudySettings, load_study

ASKED = {
    "name": "a: b # c",
    "question": "Größer?\nYes or no: 1",
    "answer": "Ja: 1 # so",
    "datasets": {"shop": "data/my shop", "baby": "data/baby"},
    "seeds": [3, 1],
    "settings": {"training.lr": 1e-05, "model.modality_weights": None},
    "features": {"pixels": "pixels"},
    "rows": [
        {"model": "bpr", "label": "no", "axes": {"training.weight_decay": [1e-05, 0.1, 0]}},
        {"model": "freedom", "features": {"shop": ["a", "b+c"], "baby": ["b"]}, "plugins": ["fettle"]},
    ],
}


def test_the_file_on_the_page_reads_back_as_the_same_study(tmp_path):
    asked = StudySettings.create(ASKED)
    (tmp_path / "study.yaml").write_text(study_yaml(asked), encoding="utf-8")
    assert load_study(tmp_path / "study.yaml") == asked


def test_the_file_on_the_page_names_no_defaults(page_study):
    text = study_yaml(page_study.settings)
    assert list(yaml.safe_load(text))[:4] == ["name", "question", "answer", "datasets"]
    assert "plugins" not in text
    assert "baseline" not in text


@pytest.mark.parametrize(
    ("name", "file"),
    [("cca", "cca.yaml"), ("a b/c; rm -rf", "a-b-c-rm-rf.yaml"), ("..", "study.yaml"), ("größe", "größe.yaml")],
)
def test_the_file_is_called_after_the_study_and_safe_to_type(name, file):
    assert file_name(StudySettings.create({**ASKED, "name": name})) == file


def test_hashes_of_datasets_and_features_stand_in_full(page_study):
    markup = provenance_markup(page_study, gather_results(page_study))
    plan = page_study.entries[0].run.plan
    assert plan.dataset["hash"] in markup
    assert "30 users, 20 items, 240 interactions" in markup
    assert f"torch {plan.versions['torch']}" in markup
    assert "Seeds: 0, 1." in markup


def test_features_are_known_by_their_hashes(page_study, monkeypatch):
    results = gather_results(page_study)
    monkeypatch.setattr(
        type(results[0]),
        "runs",
        lambda self, row: [(None, replace(page_study.entries[0].run.plan, features={"f": "ab12"}))],
    )
    assert re.findall(r"features f</td><td class=\"hash\"><code>(\w+)<", provenance_markup(page_study, results)) == [
        "ab12"
    ]


def test_runs_of_several_versions_are_counted_apart(page_study, monkeypatch):
    results = gather_results(page_study)
    plan = page_study.entries[0].run.plan
    other = replace(plan, versions={**plan.versions, "torch": "9.9"}, device="cuda")
    monkeypatch.setattr(type(results[0]), "runs", lambda self, row: [(None, plan), (None, other)])
    markup = provenance_markup(page_study, results)
    assert re.search(r"3 of 6 runs: [^.]* .*torch 9\.9, .*cuda, 1 thread\.", markup)
    assert "All runs" not in markup


def test_every_run_has_its_command(page_study):
    markup = reproduction_markup(page_study)
    shown = [html.unescape(text) for text in re.findall(r"<pre[^>]*><code>(.*?)</code>", markup, re.DOTALL)]
    assert shown[0].startswith("alignrec study compare Small-script-document.title-owned-script-img-src-x-onerror")
    assert shown[1] == study_yaml(page_study.settings)
    assert shown[2:] == [entry.command for entry in page_study.entries]
