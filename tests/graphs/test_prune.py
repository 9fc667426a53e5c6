import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import sparse

from alignrec.errors import UsageError
from alignrec.graphs import sample_edges


def draw(interactions, dropped=0.5, seed=0):
    return sample_edges(interactions, dropped, torch.Generator().manual_seed(seed))


def random_interactions(n_edges, shape=(40, 30)):
    cells = np.random.default_rng(0).choice(shape[0] * shape[1], n_edges, replace=False)
    return sparse.csr_array((np.ones(n_edges, np.float32), np.divmod(cells, shape[1])), shape=shape)


@pytest.mark.parametrize(("edges", "dropped", "kept"), [(500, 0.8, 100), (293, 0.5, 146), (500, 0.9, 50), (7, 0.0, 7)])
def test_the_share_that_stays_is_rounded_down_but_not_by_rounding_errors(edges, dropped, kept):
    assert draw(random_interactions(edges), dropped).nnz == kept


def test_what_stays_is_distinct_edges_of_the_graph_in_order():
    whole, kept = random_interactions(300), draw(random_interactions(300))
    assert kept.shape == whole.shape
    assert kept.has_canonical_format
    assert (whole.toarray() - kept.toarray()).min() == 0


def test_the_same_generator_draws_the_same_edges_and_another_others():
    whole = random_interactions(300)
    assert np.array_equal(draw(whole).toarray(), draw(whole).toarray())
    assert not np.array_equal(draw(whole).toarray(), draw(whole, seed=1).toarray())


def test_one_edge_is_drawn_in_proportion_to_one_over_the_root_of_the_degrees(goldens):
    golden = load_file(goldens / "freedom.safetensors")
    users, items = golden["input/edges"].numpy()
    whole = sparse.csr_array((np.ones(293, np.float32), (users, items)), shape=(60, 40))
    rng, counts = torch.Generator().manual_seed(0), np.zeros((60, 40))
    n_draws = 3000
    for _ in range(n_draws):
        counts += sample_edges(whole, 1 - 1 / 293, rng).toarray()
    shares = (golden["buffer/edge_values"] / golden["buffer/edge_values"].sum()).numpy()  # the authors' weights
    found = counts[users, items] / n_draws
    assert counts.sum() == n_draws
    assert np.abs((found - shares) / np.sqrt(shares / n_draws)).max() < 4.5  # standard errors
    assert np.corrcoef(found, shares)[0, 1] > 0.7


def test_without_regard_to_degrees_every_edge_is_as_likely():
    rows = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0]], np.float32)  # degrees 4, 1, 1 and 3, 1, 1, 1
    whole, rng, counts = sparse.csr_array(rows), torch.Generator().manual_seed(0), np.zeros((3, 4))
    n_draws = 3000
    for _ in range(n_draws):
        counts += sample_edges(whole, 0.5, rng, by="uniform").toarray()
    shares = counts[rows > 0] / n_draws
    assert np.abs(shares - 0.5).max() < 4.5 * (0.25 / n_draws) ** 0.5  # standard errors


def test_a_share_outside_0_and_1_is_refused():
    with pytest.raises(UsageError, match=r"between 0 and 1, not 1\.5"):
        draw(random_interactions(5), 1.5)
