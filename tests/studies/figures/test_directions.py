import numpy as np
import polars as pl
import pytest
import torch
from scipy import sparse

import alignrec.losses.fettle as fettle_module
from alignrec.errors import ArtifactError, UsageError
from alignrec.models import create_model
from alignrec.runtime import torch_rng
from alignrec.studies import train
from alignrec.studies.figures.directions import (
    DIRECTIONS_FILE,
    direction_shares,
    draw_directions,
    read_directions,
)
from alignrec.studies.figures.traces import read_lines
from alignrec.training import attach_plugins
from alignrec.types import Batch, TrainData

SMALL = {"user_item_prototypes": 4, "content_prototypes": 4}


def objective_of(view, model, **settings):
    few = {"n_neighbors": 1} if model == "freedom" else {}
    backbone = create_model(model, view, torch_rng(0, "init"), few)
    return attach_plugins(backbone, view, {"fettle": {**SMALL, **settings}}, 0)


@pytest.fixture
def view():
    """Nine users, seven items of which one was never taken, two modalities."""
    rng = np.random.default_rng(1)
    taken = rng.random((9, 7)) < 0.5
    taken[:, 6], taken[:, 0] = False, True
    features = {name: rng.normal(size=(7, size)).astype(np.float32) for name, size in (("image", 5), ("text", 3))}
    return TrainData(sparse.csr_array(taken.astype(np.float32)), features)


@pytest.mark.parametrize("model", ["freedom", "lightgcn"])
@pytest.mark.parametrize(
    "settings", [{}, {"feedback": "dot"}, {"direction": "topmost"}, {"direction": "bidirectional", "threshold": 0.0}]
)
def test_shares_are_those_of_fettles_own_decision_on_a_batch_of_all_training_interactions(
    view, model, settings, monkeypatch
):
    objective = objective_of(view, model, **settings)
    decided = []

    def spy(*words):
        decided.append(decide(*words))
        return decided[-1]

    decide = fettle_module.alignment_directions
    monkeypatch.setattr(fettle_module, "alignment_directions", spy)
    pairs = view.interactions.tocoo()
    users, items = torch.from_numpy(pairs.row).long(), torch.from_numpy(pairs.col).long()
    objective.eval()
    objective(Batch(users, items, items))
    names = ("id", "image", "text")
    expected = {(names[way.source], names[way.target]): len(way.items) / 6 for way in decided[0]}
    assert len(expected) == 6
    assert direction_shares(objective, view) == expected


def test_an_item_whose_text_its_users_like_best_is_pulled_toward_its_text(view):
    """Two items, one user each; the user looks like the text of the first and like the picture of the second."""
    eye = np.eye(2, dtype=np.float32)
    two = TrainData(sparse.csr_array(eye), {"image": eye, "text": eye})
    objective = objective_of(two, "freedom")
    backbone = objective.backbone
    with torch.no_grad():
        for part, turned in zip(backbone.projections.of, ([[-1, 0], [0, 1]], [[1, 0], [0, -1]]), strict=True):
            part.linear.bias.zero_()
            part.linear.weight.zero_()
            part.linear.weight[:2, :2] = torch.tensor(turned, dtype=torch.float32)
        backbone.embedding.zero_()
        backbone.embedding[:2, :2] = torch.eye(2)
    shares = direction_shares(objective, two)
    assert shares["image", "text"] == shares["text", "image"] == 0.5
    flipped = objective.backbone.projections.of[0].linear.weight
    with torch.no_grad():
        flipped[1, 1] = -1.0  # now no user likes a picture, and nobody the second text
    assert direction_shares(objective, two)["image", "text"] == 0.5
    assert direction_shares(objective, two)["text", "image"] == 0.0


def test_without_the_plugin_there_are_no_directions(view):
    objective = attach_plugins(create_model("bpr", view, torch_rng(0, "init"), {}), view, {}, 0)
    with pytest.raises(UsageError, match="train it with --plugin fettle"):
        direction_shares(objective, view)


def test_a_run_leaves_the_shares_of_every_epoch_and_watching_changes_nothing(watched, data, tmp_path):
    lines = read_lines(watched / DIRECTIONS_FILE)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    for line in lines:
        shares = {(way["source"], way["target"]): way["share"] for way in line["directions"]}
        assert set(shares) == {("id", "content"), ("content", "id")}
        assert sum(shares.values()) == pytest.approx(1.0)
    alone = train(
        data,
        model="freedom",
        plugins=["fettle"],
        features=["content"],
        out=tmp_path / "alone",
        settings={"training": {"epochs": 3}, "plugin.fettle": {"user_item_prototypes": 8, "content_prototypes": 8}},
    )
    for file in ("metrics.jsonl", "representations.safetensors"):
        assert (alone.path / file).read_bytes() == (watched / file).read_bytes()
    with pytest.raises(ArtifactError, match=r"has no directions.jsonl; add --train-again"):
        read_directions([alone.path])


def test_a_run_without_fettle_is_refused(bpr):
    with pytest.raises(UsageError, match="was trained without FETTLE"):
        read_directions([bpr["low"]])


def test_both_ways_of_a_pair_share_a_colour_and_differ_in_their_line(watched):
    pytest.importorskip("matplotlib")
    numbers = read_directions([watched], labels=["FREEDOM"])
    third = pl.concat([numbers, numbers.with_columns(source=pl.lit("text"), target=pl.lit("id"))]).unique(
        ["run", "epoch", "source", "target"], maintain_order=True
    )
    (axis,) = draw_directions(third).axes
    looks = [(line.get_color(), line.get_linestyle()) for line in axis.lines]
    assert looks[0][0] == looks[1][0] != looks[2][0]
    assert looks[0][1] != looks[1][1]
    figure = draw_directions(numbers)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["id → content", "content → id"]
