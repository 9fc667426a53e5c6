import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from alignrec.errors import UsageError
from alignrec.ops import fit_centres, nearest_centres


def blobs(centres, each, rng, spread=0.05):
    points = np.repeat(centres, each, axis=0) + rng.normal(0, spread, (len(centres) * each, centres.shape[1]))
    return torch.from_numpy(points.astype(np.float32))


def test_well_parted_groups_are_found():
    truth = np.array([[0, 0], [9, 0], [0, 9], [9, 9], [5, 5]])
    centres = fit_centres(blobs(truth, 40, np.random.default_rng(0)), 5, np.random.default_rng(1), passes=20)
    assert nearest_centres(torch.from_numpy(truth).float(), centres)[0].unique().numel() == 5


def test_the_nearest_centre_is_the_nearest():
    rng = np.random.default_rng(0)
    rows, centres = (torch.from_numpy(rng.normal(size=(n, 7)).astype(np.float32)) for n in (500, 40))
    owners, distances = nearest_centres(rows, centres)
    plain = torch.cdist(rows.double(), centres.double())
    assert torch.equal(owners, plain.argmin(1))
    assert torch.allclose(distances.double(), plain.amin(1) ** 2, atol=1e-4)


def test_tiles_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    rows, centres = (torch.from_numpy(rng.normal(size=(n, 7)).astype(np.float32)) for n in (500, 40))
    whole = nearest_centres(rows, centres)[0]
    monkeypatch.setattr("alignrec.ops.kmeans._TILE", 1000)
    assert torch.equal(nearest_centres(rows, centres)[0], whole)


def test_one_seed_gives_the_same_bytes_and_another_seed_others():
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(2000, 12)).astype(np.float32))
    first, again, other = (fit_centres(rows, 50, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.numpy().tobytes() == again.numpy().tobytes()
    assert not torch.equal(first, other)


@pytest.mark.parametrize("seed", range(5))
def test_no_centre_stays_dead(seed):
    """Two dense heaps and a few far rows: a random start puts nearly all centres into the heaps."""
    rng = np.random.default_rng(seed)
    heaps = blobs(np.array([[0.0, 0, 0], [1, 1, 1]]), 500, rng, spread=0.001)
    rows = torch.cat([heaps, torch.from_numpy(rng.normal(0, 10, (30, 3)).astype(np.float32))])
    centres = fit_centres(rows, 40, rng)
    assert nearest_centres(rows, centres)[0].unique().numel() == 40


def test_a_dead_centre_is_put_where_it_serves_best():
    """Rows 0, 1 and 100 with both centres started in the heap: only a move finds the far row."""
    rows = torch.tensor([[0.0], [0.0], [0.1], [0.1], [100.0]])
    for seed in range(6):
        centres = fit_centres(rows, 3, np.random.default_rng(seed))
        assert sorted(centres.flatten().tolist()) == pytest.approx([0, 0.1, 100])


def test_the_fit_is_about_as_good_as_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    rows = blobs(rng.normal(size=(60, 8)), 40, rng, spread=0.2)
    ours = float(nearest_centres(rows, fit_centres(rows, 60, rng, passes=25))[1].sum())
    plain = [KMeans(60, init="random", n_init=1, max_iter=25, random_state=s).fit(rows.numpy()) for s in range(3)]
    assert ours < 1.05 * max(fit.inertia_ for fit in plain)


def test_more_centres_than_different_rows_are_refused():
    with pytest.raises(UsageError, match="3 centres of 2 different rows"):
        fit_centres(torch.tensor([[0.0], [0.0], [1.0]]), 3, np.random.default_rng(0))
