import sys
from dataclasses import replace

import pytest

from alignrec.errors import UsageError
from alignrec.studies.page.figures import (
    figures_markup,
    one_setting_apart,
    read_figures,
    shown_figures,
    study_figures,
)
from alignrec.studies.page.results import gather_results

METRICS = ["recall@5", "ndcg@5"]
AXES = ["model.n_layers"]


@pytest.fixture
def results(page_study):
    return gather_results(page_study)[0]


def test_rows_along_an_axis_make_a_curve_of_all_their_seeds(results):
    ((setting, label, runs),) = one_setting_apart(results, AXES)
    assert (setting, label) == ("model.n_layers", "deep")
    assert [(run.plan.settings["model"]["n_layers"], run.plan.seed) for run in runs] == [(1, 0), (1, 1), (2, 0), (2, 1)]


def test_two_rows_that_happen_to_differ_in_one_setting_are_no_curve(results):
    assert one_setting_apart(results) == []


def test_rows_of_different_models_are_no_curve(results):
    entries = tuple(entry for entry in results.entries if entry.row != "deep (n_layers=2)")
    assert one_setting_apart(replace(results, entries=entries), AXES) == []


def test_a_study_has_its_training_curves_and_its_sensitivity(results):
    found = study_figures(results, METRICS, AXES)
    assert list(found) == ["Training curves on d, seed 0", "model.n_layers of deep on d, test split"]
    assert all("</svg>" in svg for svg in found.values())
    assert found == study_figures(results, METRICS, AXES)  # to the byte


def test_without_a_run_there_is_nothing_to_draw(results):
    entries = tuple(replace(entry, run=None, error="e") for entry in results.entries)
    assert figures_markup(replace(results, entries=entries), METRICS, AXES) == ""


def test_without_matplotlib_a_line_says_how_to_get_it(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    markup = figures_markup(results, METRICS, AXES)
    assert "<img" not in markup
    assert "pip install &#x27;alignrec[figures]&#x27;" in markup


def test_a_title_cannot_break_out(tmp_path):
    markup = shown_figures({'"><script>': "<svg/>"})
    assert "<script>" not in markup
    assert markup.count('alt="&quot;&gt;&lt;script&gt;"') == 1


def test_figures_are_read_by_their_files_names(tmp_path):
    (tmp_path / "tsne.svg").write_text("<svg></svg>")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "tsne.svg").write_text("<svg></svg>")
    (tmp_path / "text.svg").write_text("hello")
    assert read_figures([tmp_path / "tsne.svg"]) == {"tsne": "<svg></svg>"}
    with pytest.raises(UsageError, match=r"text\.svg is not an SVG file"):
        read_figures([tmp_path / "text.svg"])
    with pytest.raises(UsageError, match=r"gone\.svg is not an SVG file"):
        read_figures([tmp_path / "gone.svg"])
    with pytest.raises(UsageError, match="two figures are called tsne"):
        read_figures([tmp_path / "tsne.svg", tmp_path / "b" / "tsne.svg"])
