import numpy as np
import pytest

from alignrec.data import InteractionLog
from alignrec.errors import FeatureError, SettingsError, UsageError
from alignrec.features import FeatureTable
from alignrec.probes import MaskSettings, masked, zero_shot
from alignrec.probes.masked import draw_masked


def table(matrix, name="f"):
    matrix = np.asarray(matrix, dtype=np.float32)
    return FeatureTable(name, "image", [str(i) for i in range(len(matrix))], matrix)


def log(rows):
    users, items = np.array(rows, dtype=np.int32).T
    return InteractionLog(users, items, np.zeros(len(users), dtype=np.int8), np.arange(len(users), dtype=np.int64))


class Counter:
    steps = 0

    def advance(self, steps=1, text=None):
        self.steps += steps


def run(features, rows, interactions, **options):
    settings = MaskSettings(share=options.pop("share", 0.5), draws=options.pop("draws", 1))
    rows = np.asarray(rows, dtype=np.float32)
    return masked(features, options.pop("modality", "image"), rows, interactions, settings=settings, **options)


def test_a_worked_example_masking_everything():
    # User: items 0, then 1. Pictures (columns 0, 1) say 1 is nearest to 0; words (column 2, 3) say 2 is.
    features = [[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 0.9, 0.3]]
    words = [[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0.9, 0.3]]
    interactions = log([(0, 0), (0, 1)])
    # Whole: cosines with item 0 are 1/2 for item 1 and .9/(1.414·1.379) = .46 for item 2: rank 1.
    assert list(zero_shot(table(features), interactions).ranks) == [1]
    # Without pictures: 0 for item 1, .95 for item 2: rank 2 of two.
    assert run(table(features), words, interactions, share=1.0).ranks.tolist() == [[2]]


def test_a_worked_example_masking_two_known_items():
    # Which two of four items lose their picture follows from the seed; by hand for each of the six pairs.
    features = np.array([[1, 0], [1, 0.2], [1, 0.5], [0, 1]], dtype=np.float32)
    interactions = log([(0, 0), (0, 1)])  # history 0, target 1, candidates 1 2 3
    # Rank by pair of masked rows (then zero): nothing of {0, 1} masked: 1. History masked: the query is zero, all
    # candidates tie, rank 3. Target masked: its cosine is 0, behind item 2 unless that is masked, tied with item 3.
    expected = {(0, 1): 3, (0, 2): 3, (0, 3): 3, (1, 2): 3, (1, 3): 3, (2, 3): 1}
    found = {}
    for seed in range(40):
        pair = tuple(np.flatnonzero(draw_masked(4, "image", 0, share=0.5, seed=seed)).tolist())
        found[pair] = run(table(features), np.zeros((4, 2)), interactions, seed=seed).ranks.item()
    assert found == expected


def test_masked_items_stay_candidates_and_zero_rows_are_finite():
    rng = np.random.default_rng(1)
    interactions = log([(u, i) for u in range(30) for i in rng.choice(40, size=5, replace=False)])
    features = table(rng.standard_normal((40, 4)))
    whole = zero_shot(features, interactions)
    result = run(features, np.zeros((40, 4)), interactions, share=1.0, draws=2)
    assert np.array_equal(result.candidates, whole.candidates)
    assert np.array_equal(result.ranks, np.tile(whole.candidates, (2, 1)))  # all ties: the target is last
    half = run(features, np.zeros((40, 4)), interactions, draws=3)
    assert half.ranks.shape == (3, 30)
    assert (half.ranks <= half.candidates).all()
    assert np.isfinite([half.recall(20), half.spread(20), *half.interval(20)]).all()


@pytest.mark.parametrize(("share", "count"), [(0.5, 50), (0.29, 29), (0.999, 99), (1.0, 100), (0.001, 0)])
def test_the_share_of_items_is_rounded_down(share, count):
    assert draw_masked(100, "text", 0, share=share, seed=0).sum() == count


def test_without_settings_half_of_the_items_are_masked_in_five_draws_of_seed_0():
    rng = np.random.default_rng(5)
    interactions = log([(u, i) for u in range(20) for i in rng.choice(30, size=3, replace=False)])
    features, rows = table(rng.standard_normal((30, 3))), np.zeros((30, 3), dtype=np.float32)
    plain = masked(features, "image", rows, interactions)
    assert np.array_equal(plain.ranks, run(features, rows, interactions, share=0.5, draws=5, seed=0).ranks)


def test_draws_differ_by_number_modality_and_seed_and_repeat():
    draws = [
        draw_masked(60, modality, draw, share=0.5, seed=seed)
        for modality in ("image", "text")
        for draw in (0, 1)
        for seed in (0, 1)
    ]
    assert len({draw.tobytes() for draw in draws}) == 8
    assert np.array_equal(draws[0], draw_masked(60, "image", 0, share=0.5, seed=0))


def test_a_larger_share_masks_the_items_of_a_smaller_one():
    small, large = (draw_masked(60, "image", 0, share=share, seed=0) for share in (0.2, 0.7))
    assert (large | ~small).all()


def test_all_tables_lose_the_same_items():
    # Tables of different widths, in which a masked row is told by its length, 0.
    seen = {}
    for size in (2, 5):
        rows = np.zeros((50, size))
        features = table(np.ones((50, size)))
        interactions = log([(u, i) for u in range(50) for i in (u, (u + 1) % 50)])
        seen[size] = run(features, rows, interactions, draws=3, seed=4).ranks
    assert np.array_equal(seen[2], seen[5])


def test_figures_are_means_over_the_draws_with_their_spread():
    rng = np.random.default_rng(2)
    interactions = log([(u, i) for u in range(60) for i in rng.choice(40, size=4, replace=False)])
    features = table(rng.standard_normal((40, 3)))
    result = run(features, np.zeros((40, 3)), interactions, draws=4, seed=7, ks=[5])
    singles = []
    for draw in range(4):
        chosen = draw_masked(40, "image", draw, share=0.5, seed=7)
        matrix = np.where(chosen[:, None], 0, features.matrix)
        singles.append(zero_shot(table(matrix), interactions, ks=[5]).recall(5))
    assert result.recall_by_draw(5) == singles
    assert result.recall(5) == pytest.approx(np.mean(singles))
    assert result.spread(5) == pytest.approx(np.std(singles, ddof=1))
    assert result.as_dict()["spread_over_draws"]["5"] == result.spread(5)


def test_rows_that_masking_leaves_alone_give_the_unmasked_ranks_in_every_draw():
    rng = np.random.default_rng(3)
    interactions = log([(u, i) for u in range(20) for i in rng.choice(30, size=3, replace=False)])
    features, counter = table(rng.standard_normal((30, 3))), Counter()
    result = run(features, features.matrix, interactions, draws=5, reporter=counter, modality="text")
    assert np.array_equal(result.ranks, np.tile(zero_shot(features, interactions).ranks, (5, 1)))
    assert (result.protocol, result.spread(10), counter.steps) == ("text masked", 0.0, 20)


def test_the_reporter_is_told_of_every_user_in_every_draw():
    rng = np.random.default_rng(3)
    interactions = log([(u, i) for u in range(20) for i in rng.choice(30, size=3, replace=False)])
    counter = Counter()
    run(table(rng.standard_normal((30, 3))), np.zeros((30, 3)), interactions, draws=5, reporter=counter)
    assert counter.steps == 5 * 20


def test_rows_of_another_shape_are_refused():
    with pytest.raises(FeatureError, match=r"shape \(3, 2\), the rows without image \(3, 1\)"):
        run(table(np.ones((3, 2))), np.ones((3, 1)), log([(0, 0), (0, 1)]))


def test_an_unknown_modality_is_refused():
    with pytest.raises(UsageError, match="unknown modality 'audio' to mask; allowed: image, text"):
        run(table(np.ones((3, 2))), np.ones((3, 2)), log([(0, 0), (0, 1)]), modality="audio")


@pytest.mark.parametrize("share", [0, 1.5])
def test_a_share_is_above_none_and_at_most_all(share):
    with pytest.raises(SettingsError, match=r"mask\.share"):
        MaskSettings.create({"share": share}, section="mask")
