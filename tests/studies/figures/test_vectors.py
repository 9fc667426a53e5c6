import json
import shutil

import numpy as np
import pytest

from alignrec.artifacts import read_arrays, write_arrays
from alignrec.errors import UsageError
from alignrec.studies.figures.vectors import draw_vectors, mean_cosine, read_vectors

VIEWS = ("content.items", "behaviour.items")


def changed(run, to, **arrays):
    """A copy of `run` with other vectors; `content_items` stands for `content.items`."""
    copy = shutil.copytree(run, to)
    stored = read_arrays(run / "representations.safetensors")
    write_arrays(copy / "representations.safetensors", stored | {n.replace("_", "."): a for n, a in arrays.items()})
    return copy


def test_mean_cosine_is_that_of_the_pairs():
    first = np.array([[1, 0], [0, 1]], np.float32)
    second = np.array([[0.6, 0.8], [1, 0], [0, -1]], np.float32)
    assert mean_cosine(first, second, np.array([0, 0, 1]), np.array([0, 1, 2])) == pytest.approx((0.6 + 1 - 1) / 3)


def test_the_cosine_of_all_items_is_reported_though_a_sample_is_drawn(watched):
    arrays = read_arrays(watched / "representations.safetensors")
    a, b = arrays["content.items"].astype(float), arrays["behaviour.items"].astype(float)
    expected = np.mean((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))
    found = read_vectors([watched], views=VIEWS, sample=8)
    assert found.cosines["mean_cosine"].item() == pytest.approx(expected, abs=1e-6)
    assert found.cosines["pairs"].item() == 20
    assert len(found.points) == 16


def test_items_without_a_vector_are_left_out(watched, tmp_path):
    content = read_arrays(watched / "representations.safetensors")["content.items"]
    content[[3, 4]] = 0.0
    found = read_vectors([changed(watched, tmp_path / "run", content_items=content)], views=VIEWS)
    assert found.cosines["pairs"].item() == 18
    assert not set(found.points["row"]) & {3, 4}


def test_equal_views_have_cosine_one_and_lie_on_each_other(watched, tmp_path):
    behaviour = read_arrays(watched / "representations.safetensors")["behaviour.items"]
    run = changed(watched, tmp_path / "run", content_items=3.0 * behaviour)
    found = read_vectors([run], views=VIEWS)
    assert found.cosines["mean_cosine"].item() == pytest.approx(1.0, abs=1e-6)
    content, beside = (found.points.filter(view=view).select("x", "y").to_numpy() for view in VIEWS)
    assert np.median(np.linalg.norm(content - beside, axis=1)) < 0.1 * np.ptp(content)


def test_users_are_paired_with_items_they_took_in_training(watched, data):
    views = ("final.users", "content.items", "behaviour.items")
    found = read_vectors([watched], views=views, sample=40)
    train = data.split("train").toarray()
    users, *items = (found.points.filter(view=view).sort("pair")["row"].to_numpy() for view in views)
    assert all(train[users, rows].all() for rows in items)
    assert np.array_equal(*items)
    assert found.cosines["pairs"].to_list() == [train.sum()] * 2


def test_a_user_of_several_pairs_is_one_point(watched):
    points = read_vectors([watched], views=("final.users", "content.items"), sample=100).points
    for view in ("final.users", "content.items"):
        shown = points.filter(view=view)
        assert shown["row"].n_unique() < len(shown)
        assert shown.select("row", "x", "y").unique().height == shown["row"].n_unique()


def test_the_same_seed_gives_the_same_plane_and_runs_draw_the_same_items(watched, tmp_path):
    copy = shutil.copytree(watched, tmp_path / "copy")
    runs, words = [watched, copy], {"labels": ["a", "b"], "sample": 10, "seed": 3}
    plan = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**plan, "seed": 1}))
    first, again = read_vectors(runs, **words), read_vectors(runs, **words)
    assert first.points.equals(again.points)
    of_a, of_b = (first.points.filter(run=name)["row"].to_list() for name in "ab")
    assert of_a == of_b


def test_views_that_are_not_there_or_do_not_fit_are_refused(watched, bpr, tmp_path):
    with pytest.raises(UsageError, match=r"has no vectors 'content.items'; there are: behaviour.items, "):
        read_vectors([bpr["low"]])
    wide = changed(watched, tmp_path / "run", content_items=np.ones((20, 5), np.float32))
    with pytest.raises(UsageError, match=r"different length cannot be compared: content.items 5, behaviour.items 64"):
        read_vectors([wide])
    with pytest.raises(UsageError, match=r"two to four different views, not final.items"):
        read_vectors([watched], views=["final.items"])
    with pytest.raises(UsageError, match="a sample of 2 shows no neighbourhoods"):
        read_vectors([watched], sample=2)


def test_a_picture_joins_every_pair_and_says_the_cosine_in_its_legend(watched):
    pytest.importorskip("matplotlib")
    found = read_vectors([watched], labels=["FREEDOM"])
    (axis,) = draw_vectors(found).axes
    (joined,) = axis.collections
    ends = np.array([segment.ravel() for segment in joined.get_segments()])
    places = [found.points.filter(view=view).select("x", "y").to_numpy() for view in VIEWS]
    assert np.allclose(ends, np.concatenate(places, axis=1))
    said = [text.get_text() for text in axis.get_legend().get_texts()]
    assert said == [*VIEWS, f"pairs: mean cosine {found.cosines['mean_cosine'].item():.2f}"]
    assert axis.get_xlabel() == "FREEDOM"
