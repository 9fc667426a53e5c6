import json

import numpy as np
import pytest

from alignrec.errors import UsageError
from alignrec.probes import MaskSettings, ProbeReport, ProbeResult


def result(features, hits, protocol="zero-shot"):
    ranks = np.where(np.arange(200) < hits, 1, 30)
    return ProbeResult(protocol, features, (10, 20), np.arange(200), ranks, np.full(200, 400), skipped=0)


@pytest.fixture
def report():
    results = (result("a", 80), result("b", 40), result("a", 70, "vision masked"))
    left_out = {"b": "b needs its encoder"}
    return ProbeReport(
        "shop", "h", {"a": "1", "b": "2"}, {"a": 9, "b": 3}, results, left_out, MaskSettings(share=0.3, draws=1), seed=4
    )


def test_a_difference_is_paired_and_of_the_protocol_asked_for(report):
    difference = report.difference("b", "a", "zero-shot", 10)
    assert difference.value == pytest.approx(-0.2)
    assert difference.interval.high < 0


def test_a_result_that_is_not_there_names_those_that_are(report):
    with pytest.raises(UsageError, match="no result of 'b' under 'vision masked'; there are: a zero-shot, b zero-shot"):
        report.difference("a", "b", "vision masked", 10)


def test_the_json_has_intervals_differences_and_the_best(report):
    values = json.loads(json.dumps(report.as_dict()))
    assert (values["seed"], values["masking"]) == (4, {"share": 0.3, "draws": 1})
    assert values["not_masked"] == {"b": "b needs its encoder"}
    assert values["results"][0]["interval"]["20"] == list(report.results[0].interval(20, seed=4))
    best = report.best()
    assert (values["best"]["name"], values["best"]["reason"]) == ("a", best.reason)
    assert values["best"]["leader_ahead"]["b"] == {"value": 0.5, "interval": list(best.behind["b"].interval)}
    (difference,) = values["differences"]  # b was not masked
    assert (difference["protocol"], difference["first"], difference["second"]) == ("zero-shot", "a", "b")
    assert difference["difference"] == {"10": pytest.approx(0.2), "20": pytest.approx(0.2)}


def test_with_the_best_come_the_differences_to_it(report):
    assert "a minus the others" not in report.to_markdown()
    assert "**a minus the others on shop**" in report.to_markdown(best=True)
    assert len(list(report.tables(best=True))) == len(list(report.tables())) + 1 == 3


def test_markdown_ends_with_all_protocols_in_one_table(report):
    lines = report.to_markdown().splitlines()
    assert "**Recall of item features on shop before training; masked: 30 % of the items, mean of 1 draws**" in lines
    assert lines[-3] == "| a | **.4000** | **.4000** | **.3500** | **.3500** |"


def test_latex_says_how_much_is_masked(report):
    assert r"masked: 30 \% of the items" in report.to_latex()
