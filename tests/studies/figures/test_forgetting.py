import shutil

import numpy as np
import polars as pl
import pytest
import torch
from scipy import sparse

from alignrec.errors import ArtifactError, UsageError
from alignrec.models import create_model, model_class
from alignrec.runtime import torch_rng
from alignrec.studies.figures.forgetting import (
    FORGETTING_FILE,
    draw_forgetting,
    feature_distances,
    forgetting_recorder,
    read_forgetting,
    similarity_kept,
)
from alignrec.studies.figures.traces import read_lines
from alignrec.training import Objective
from alignrec.types import TrainData

TRAINED = ["freedom", "alignrec", "dream", "bm3", "mgcn", "lattice", "vbpr"]


@pytest.fixture
def view():
    """Two modalities of different scale; item 0 has no text."""
    rng = np.random.default_rng(2)
    taken = (rng.random((12, 8)) < 0.5).astype(np.float32)
    taken[:, 0] = taken[0] = 1.0
    features = {"image": rng.normal(size=(8, 5)).astype(np.float32), "text": 9 * rng.random((8, 3)).astype(np.float32)}
    features["text"][0] = 0.0
    return TrainData(sparse.csr_array(taken), features)


def made(model, view, **settings):
    few = {name: 2 for name in ("n_neighbors", "n_user_neighbors") if name in model_class(model).Config.model_fields}
    return create_model(model, view, torch_rng(0, "init"), {"trainable_features": True, **few, **settings})


@pytest.mark.parametrize("model", TRAINED)
def test_nothing_is_forgotten_before_training(model, view):
    assert feature_distances(made(model, view), view.features) == pytest.approx({"image": 0.0, "text": 0.0}, abs=1e-6)


@pytest.mark.parametrize("model", ["freedom", "alignrec", "vbpr"])
def test_each_modality_is_judged_by_its_own_columns(model, view):
    """Texts turned round, pictures as they were: alone, or side by side in one table."""
    backbone = made(model, view)
    tables = [p for name, p in backbone.named_parameters() if name.endswith(("features", "table"))]
    with torch.no_grad():
        tables[-1][:, -3:] *= -1.0
    assert feature_distances(backbone, view.features) == pytest.approx({"image": 0.0, "text": 2.0}, abs=1e-6)


def test_half_of_the_items_turned_by_a_right_angle_is_a_distance_of_a_half():
    features = {"image": np.tile(np.array([[1.0, 0.0]], np.float32), (4, 1))}
    data = TrainData(sparse.csr_array(np.ones((3, 4), np.float32)), features)
    backbone = made("freedom", data)
    with torch.no_grad():
        backbone.projections.of[0].table[:2] = torch.tensor([0.0, 5.0])
    assert feature_distances(backbone, features) == {"image": 0.5}


def test_features_that_are_not_trained_have_no_distance(view):
    for model in ("freedom", "alignrec"):
        assert feature_distances(made(model, view, trainable_features=False), view.features) == {}
    assert feature_distances(create_model("lightgcn", view, torch_rng(0, "init"), {}), view.features) == {}


def test_turned_and_scaled_vectors_keep_all_similarity_and_opposite_cosines_keep_less_than_none():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(9, 4))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    turn, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    assert similarity_kept(vectors @ turn * rng.random((9, 1)), unit @ unit.T) == pytest.approx(1.0)
    assert similarity_kept(vectors, -(unit @ unit.T)) == pytest.approx(-1.0)


def test_similarity_kept_on_three_items():
    """Cosines of the pairs (0,1), (0,2), (1,2): 0.6, 0, 0.8 by vectors; 1, 0, 0 by features. r by hand."""
    vectors = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    target = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    ours, theirs = np.array([0.6, 0.0, 0.8]) - 1.4 / 3, np.array([1.0, 0.0, 0.0]) - 1 / 3
    by_hand = (ours @ theirs) / np.sqrt((ours @ ours) * (theirs @ theirs))
    assert similarity_kept(vectors, target) == pytest.approx(by_hand)


def test_where_all_items_are_alike_there_is_no_correlation():
    assert similarity_kept(np.ones((5, 3)), np.eye(5)) is None
    assert similarity_kept(np.eye(2), np.eye(2)) is None


def test_a_run_leaves_distance_and_similarities_of_every_epoch(watched):
    lines = read_lines(watched / FORGETTING_FILE)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    distances = [line["distance"]["content"] for line in lines]
    assert 0 < distances[0] < distances[1] < distances[2] < 0.1
    assert set(lines[0]["kept"]) == {"final", "behaviour", "content", "content.content"}
    assert all(-1 <= value <= 1 for line in lines for value in line["kept"].values())


def test_items_without_features_are_not_among_the_pairs(view, tmp_path):
    """The vector of the item without text may be anything."""
    backbone = made("freedom", view)
    kept = []
    for number in (0, 1):
        forgetting_recorder(view, tmp_path / str(number))({"epoch": 1}, Objective(backbone))
        kept.append(read_lines(tmp_path / str(number) / FORGETTING_FILE)[0]["kept"]["content.image"])
        with torch.no_grad():
            backbone.projections.of[0].table[0] += 7.0
    assert kept[0] == pytest.approx(kept[1], abs=1e-12)


def test_runs_without_features_or_without_a_record_are_refused(bpr, watched, tmp_path):
    with pytest.raises(UsageError, match="trained without features"):
        read_forgetting([bpr["low"]])
    copy = shutil.copytree(watched, tmp_path / "copy")
    (copy / FORGETTING_FILE).unlink()
    with pytest.raises(ArtifactError, match=r"has no forgetting.jsonl; add --train-again"):
        read_forgetting([copy])
    plain = TrainData(sparse.csr_array(np.ones((2, 2), np.float32)))
    with pytest.raises(UsageError, match="nothing to forget"):
        forgetting_recorder(plain, tmp_path)


def test_a_panel_of_distances_and_one_for_every_view_asked_for(watched):
    pytest.importorskip("matplotlib")
    numbers = read_forgetting([watched], labels=["FREEDOM"])
    figure = draw_forgetting(numbers, views=["final", "content.content", "absent"])
    said = [axis.get_ylabel().replace("\n", " ") for axis in figure.axes]
    assert said == [
        "cosine distance of features",
        "similarity kept by final (r)",
        "similarity kept by content.content (r)",
    ]
    shown = figure.axes[1].lines[0].get_xydata()
    assert shown[:, 1].tolist() == numbers.filter(measure="kept", of="final")["value"].to_list()
    with pytest.raises(UsageError, match="no run has a view absent; there are: final, behaviour, content"):
        draw_forgetting(numbers, views=["absent"])


def test_twelve_runs_are_told_apart_and_ticks_are_whole_epochs():
    pytest.importorskip("matplotlib")
    rows = [
        {"run": f"run {run}", "epoch": epoch, "measure": "kept", "of": "final", "value": 0.1 * run}
        for run in range(12)
        for epoch in (1, 2, 3)
    ]
    figure = draw_forgetting(pl.DataFrame(rows))
    (panel,) = figure.axes
    assert len({(line.get_color(), line.get_marker()) for line in panel.lines}) == 12
    assert all(tick == round(tick) for tick in panel.get_xticks())
    shown = {(line.get_color(), line.get_marker()) for line in figure.legends[0].legend_handles}
    assert shown == {(line.get_color(), line.get_marker()) for line in panel.lines}
