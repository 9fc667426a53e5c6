import numpy as np
import pytest

from alignrec.encoders.postprocessing import Postprocessing

RNG = np.random.default_rng(0)
MATRIX = (RNG.standard_normal((300, 6)) * [10, 5, 2, 1, 0.01, 0.001] + 3).astype(np.float32)


def test_whitening_gives_unit_covariance_in_the_directions_kept():
    white = Postprocessing.fit(MATRIX, "whiten")(MATRIX)
    assert white.shape == (300, 4)
    assert np.allclose(white.T @ white / 300, np.eye(4), atol=1e-4)


@pytest.mark.parametrize("post", ["center", "whiten"])
def test_other_vectors_are_moved_by_the_mean_of_those_it_was_fitted_to(post):
    step = Postprocessing.fit(MATRIX, post)
    assert np.allclose(step(MATRIX.mean(axis=0, keepdims=True)), 0, atol=1e-4)
    assert np.allclose(step(MATRIX[:5] + 1) - step(MATRIX[5:10] + 1), step(MATRIX[:5]) - step(MATRIX[5:10]), atol=1e-4)


def test_without_postprocessing_vectors_stay_as_they_are():
    assert Postprocessing.fit(MATRIX, "none")(MATRIX) is MATRIX


@pytest.mark.parametrize("post", ["center", "whiten"])
def test_blocks_of_rows_fit_as_the_whole_does(post):
    whole = Postprocessing.fit(MATRIX, post)
    blocks = Postprocessing.fit_blocks(lambda: iter([MATRIX[:100], MATRIX[100:100], MATRIX[100:]]), post)
    assert np.allclose(np.abs(blocks(MATRIX)), np.abs(whole(MATRIX)), atol=1e-4)
