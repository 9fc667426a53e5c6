import json
import shutil

import numpy as np
import pytest

from alignrec.errors import ArtifactError, SettingsError, UsageError
from alignrec.studies.figures.sensitivity import draw_sensitivity, read_sensitivity

WORDS = {"setting": "model.reg_weight", "metrics": ["recall@5", "ndcg@5"]}
CURVE = ("high", "mid-1", "low", "mid-0")


def figure_of(run, metric):
    return json.loads((run / "report.json").read_text())["test"][metric]


def test_a_row_per_metric_and_value_has_mean_and_spread_over_seeds(bpr):
    numbers = read_sensitivity([bpr[name] for name in CURVE], **WORDS)
    assert numbers.select("metric", "value", "seeds").rows() == [
        (metric, value, seeds) for metric in ("recall@5", "ndcg@5") for value, seeds in ((0.001, 1), (0.1, 2), (1.0, 1))
    ]
    low, mid = numbers.row(0, named=True), numbers.row(1, named=True)
    both = [figure_of(bpr[name], "recall@5") for name in ("mid-0", "mid-1")]
    assert (low["mean"], low["std"]) == (figure_of(bpr["low"], "recall@5"), None)
    assert mid["mean"] == pytest.approx(np.mean(both))
    assert mid["std"] == pytest.approx(abs(both[0] - both[1]) / np.sqrt(2))


def test_runs_that_differ_in_anything_else_are_refused_and_the_difference_is_named(bpr):
    with pytest.raises(UsageError, match=r"in more than model.reg_weight and the seed: settings model: embedding_size"):
        read_sensitivity([bpr["low"], bpr["small"]], **WORDS)
    with pytest.raises(UsageError, match=r"in more than model.embedding_size and the seed: .*reg_weight"):
        read_sensitivity([bpr["low"], bpr["small"]], **{**WORDS, "setting": "model.embedding_size"})


def test_one_value_makes_no_curve(bpr):
    with pytest.raises(UsageError, match=r"at least two values of it; given: all of them 0.1"):
        read_sensitivity([bpr["mid-0"], bpr["mid-1"]], **WORDS)


def test_a_setting_that_is_not_there_or_no_number_is_refused(bpr):
    with pytest.raises(SettingsError, match=r"no setting 'model.cca_weight'; there are: model.embedding_size, .*"):
        read_sensitivity([bpr["low"], bpr["high"]], setting="model.cca_weight", metrics=["recall@5"])
    with pytest.raises(SettingsError, match=r"training.metric of .* is 'recall@20', which no axis can show"):
        read_sensitivity([bpr["low"], bpr["high"]], setting="training.metric", metrics=["recall@5"])


def test_a_run_that_was_not_evaluated_names_the_command(watched):
    with pytest.raises(ArtifactError, match="alignrec evaluate"):
        read_sensitivity([watched], setting="model.content_weight")


def test_part_of_a_setting_is_an_axis_though_its_other_parts_change_with_it(bpr, tmp_path):
    """The share of one modality, as in DREAM's Figure 8 (b)."""
    runs = []
    for name, image in (("low", 0.3), ("high", 0.7)):
        run = shutil.copytree(bpr["mid-0"], tmp_path / name)
        plan = json.loads((run / "run.json").read_text())
        plan["model"], plan["features"] = "freedom", {"image": "0" * 64, "text": "1" * 64}
        plan["settings"]["model"] = {"modality_weights": {"image": image, "text": 1.0 - image}}
        (run / "run.json").write_text(json.dumps(plan))
        runs.append(run)
    numbers = read_sensitivity(runs, setting="model.modality_weights.image", metrics=["recall@5"])
    assert numbers["value"].to_list() == [0.3, 0.7]


@pytest.mark.parametrize(
    ("names", "setting", "scale"),
    [(CURVE, "model.reg_weight", "log"), (("mid-0", "small"), "model.embedding_size", "linear")],
)
def test_the_axis_is_logarithmic_where_values_span_decades(bpr, names, setting, scale):
    pytest.importorskip("matplotlib")
    figure = draw_sensitivity(
        read_sensitivity([bpr[name] for name in names], setting=setting, metrics=["recall@5", "ndcg@5"])
    )
    assert [axis.get_xscale() for axis in figure.axes] == [scale, scale]
    assert [axis.get_ylabel() for axis in figure.axes] == ["recall@5", "ndcg@5"]
    assert figure.axes[-1].get_xlabel() == setting


def test_a_weight_of_zero_keeps_its_place_beside_decades(bpr):
    pytest.importorskip("matplotlib")
    numbers = read_sensitivity([bpr[name] for name in CURVE], **WORDS)
    from_zero = numbers.with_columns(value=numbers["value"].replace(0.001, 0.0))
    axis = draw_sensitivity(from_zero).axes[0]
    places = axis.transData.transform([(value, 0.0) for value in (0.0, 0.1, 1.0)])[:, 0]
    assert axis.get_xscale() == "symlog"
    assert np.diff(places).min() > 0.2 * np.ptp(places)
