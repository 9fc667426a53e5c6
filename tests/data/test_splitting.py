import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignrec.data.splitting import (
    SPLIT_RULES,
    GivenSplit,
    LeaveOneOutSplit,
    MmrecSplit,
    RatioSplit,
    TemporalSplit,
    mmrec_sizes,
    split_family,
    split_interactions,
    split_rule,
)
from alignrec.errors import DataError, SettingsError, UsageError

degrees = st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(sum)


def log(counts):
    return np.repeat(np.arange(len(counts)), counts).astype(np.int32)


def split(counts, rule, seed=0, **kwargs):
    return split_interactions(log(counts), rule, np.random.default_rng(seed), **kwargs)


def sizes(splits):
    return np.bincount(splits, minlength=3).tolist()


@pytest.fixture(scope="module")
def counts_golden(goldens):
    return json.loads((goldens / "split_counts.json").read_text())


def histogram(golden, name):
    found = golden["datasets"][name]["degree_histogram"]
    return np.repeat([int(n) for n in found], list(found.values()))


@pytest.mark.parametrize("seed", [0, 1, 999])
def test_babys_degrees_give_the_published_sizes_for_any_seed(counts_golden, seed):
    baby = histogram(counts_golden, "baby")
    assert sizes(split(baby, MmrecSplit(), seed)) == [118_551, 20_559, 21_682]


def test_sports_degrees_give_mmrecs_sizes(counts_golden):
    expected = counts_golden["datasets"]["sports"]["expected"]
    assert sizes(split(histogram(counts_golden, "sports"), MmrecSplit())) == list(expected.values())


def test_sizes_per_user_are_mmrecs(counts_golden):
    counts = np.array([row["n"] for row in counts_golden["per_user"]])
    valid, test = mmrec_sizes(counts)
    assert valid.tolist() == [row["valid"] for row in counts_golden["per_user"]]
    assert test.tolist() == [row["test"] for row in counts_golden["per_user"]]


@pytest.mark.parametrize("rule", [MmrecSplit(), LeaveOneOutSplit()])
def test_users_with_few_rows_have_train_first_then_test_then_valid(rule):
    splits = split([1, 2, 3], rule)
    assert sizes(splits[:1]) == [1, 0, 0]
    assert sizes(splits[1:3]) == [1, 0, 1]
    assert sizes(splits[3:]) == [1, 1, 1]


@given(degrees, st.sampled_from([MmrecSplit(), RatioSplit(valid=0.3, test=0.6), LeaveOneOutSplit()]), st.integers(0, 9))
def test_every_user_with_a_row_has_a_train_row(counts, rule, seed):
    splits = split(counts, rule, seed)
    assert set(log(counts)[splits == 0]) == set(log(counts))
    assert set(np.unique(splits)) <= {0, 1, 2}


@given(degrees, st.sampled_from(list(SPLIT_RULES)), st.integers(0, 9))
def test_the_same_seed_gives_the_same_split(counts, name, seed):
    stamps = np.random.default_rng(0).integers(0, 50, sum(counts))
    labels = np.zeros(sum(counts), dtype=np.int8)
    first, second = (split(counts, split_rule(name), seed, timestamps=stamps, given=labels) for _ in range(2))
    assert first.tolist() == second.tolist()


@given(degrees, st.randoms(use_true_random=False))
def test_sizes_do_not_depend_on_the_order_of_the_rows(counts, random):
    users = log(counts).tolist()
    random.shuffle(users)
    shuffled = np.asarray(users, dtype=np.int32)
    splits = split_interactions(shuffled, MmrecSplit(), np.random.default_rng(3))
    valid, test = mmrec_sizes(np.asarray(counts))
    assert np.bincount(shuffled[splits == 1], minlength=len(counts)).tolist() == valid.tolist()
    assert np.bincount(shuffled[splits == 2], minlength=len(counts)).tolist() == test.tolist()


def test_another_seed_moves_rows():
    assert split([40], MmrecSplit(), 0).tolist() != split([40], MmrecSplit(), 1).tolist()


def test_each_row_of_a_user_is_held_out_about_equally_often():
    held = np.mean([split([10], MmrecSplit(), seed) > 0 for seed in range(2000)], axis=0)
    assert np.allclose(held, 0.2, atol=0.05)  # four standard errors are .036


@pytest.mark.parametrize(("n", "expected"), [(1, [1, 0, 0]), (4, [4, 0, 0]), (5, [3, 1, 1]), (20, [16, 2, 2])])
def test_ratio_rounds_half_up(n, expected):
    assert sizes(split([n], RatioSplit())) == expected


def test_ratio_takes_other_shares():
    assert sizes(split([100], RatioSplit(valid=0.15, test=0.25))) == [60, 15, 25]


def test_the_last_of_a_user_is_test_and_the_one_before_valid():
    stamps = np.array([30, 10, 20, 40])
    assert split([4], LeaveOneOutSplit(), timestamps=stamps).tolist() == [1, 0, 0, 2]


def test_equal_times_keep_the_order_of_the_source():
    assert split([5], TemporalSplit(valid=0.2, test=0.2), timestamps=np.zeros(5, int)).tolist() == [0, 0, 0, 1, 2]


@given(degrees, st.integers(0, 99))
def test_nothing_in_train_is_later_than_what_the_same_user_has_in_test(counts, seed):
    stamps = np.random.default_rng(seed).integers(0, 20, sum(counts))
    splits = split(counts, TemporalSplit(), timestamps=stamps)
    for user in range(len(counts)):
        mine = log(counts) == user
        earlier, later = stamps[mine & (splits == 0)], stamps[mine & (splits == 2)]
        assert not len(later) or earlier.max() <= later.min()


def test_global_time_cuts_all_users_at_the_same_second():
    stamps = np.arange(20)[::-1]  # the first user is the late one
    splits = split([10, 10], TemporalSplit(scope="global"), timestamps=stamps)
    assert sizes(splits) == [16, 2, 2]
    assert splits[:4].tolist() == [2, 2, 1, 1]


def test_rows_of_the_second_of_a_global_cut_go_to_the_later_side():
    stamps = np.array([0, 1, 2, 3, 9, 9, 9, 9, 9, 9])
    assert sizes(split([10], TemporalSplit(scope="global"), timestamps=stamps)) == [4, 0, 6]


def test_given_labels_are_kept():
    labels = np.array([2, 0, 1], dtype=np.int8)
    assert split([3], GivenSplit(), given=labels).tolist() == [2, 0, 1]


def test_a_given_label_of_another_code_is_an_error():
    with pytest.raises(DataError, match="other codes than 0, 1, 2"):
        split([1], GivenSplit(), given=np.array([3], dtype=np.int8))


@pytest.mark.parametrize(("rule", "need"), [(TemporalSplit(), "timestamps"), (GivenSplit(), "split of its own")])
def test_a_rule_without_what_it_needs_says_what_else_to_choose(rule, need):
    with pytest.raises(DataError, match=f"{need}.*choose"):
        split([5], rule)


def test_an_unknown_rule_lists_the_known_ones():
    with pytest.raises(UsageError, match="unknown split rule 'random'; allowed: mmrec, ratio"):
        split_rule("random")


def test_a_share_for_a_rule_without_shares_is_an_error():
    with pytest.raises(SettingsError, match=r"unknown setting 'split mmrec\.valid'"):
        split_rule("mmrec", {"valid": 0.2})


def test_shares_must_leave_something_for_train():
    with pytest.raises(SettingsError, match="leave something for train"):
        split_rule("ratio", {"valid": 0.5, "test": 0.5})


def test_the_odd_item_tells_the_two_published_families_apart():
    mmrec = np.repeat([0, 1, 2], [12, 1, 2]).astype(np.int8)
    lattice = np.repeat([0, 1, 2], [12, 2, 1]).astype(np.int8)
    assert split_family(log([15]), mmrec).name == "mmrec"
    assert split_family(log([15]), lattice).name == "lattice"


def test_users_with_few_rows_fit_both_families():
    assert split_family(log([5]), np.array([0, 0, 0, 1, 2], dtype=np.int8)).name == "mmrec or lattice"


def test_one_user_of_another_size_makes_the_family_other_and_is_counted():
    splits = np.array([0, 0, 0, 1, 2, 0, 0, 0, 0, 2], dtype=np.int8)
    family = split_family(log([5, 5]), splits)
    assert (family.name, family.mmrec, family.lattice) == ("other", 0.5, 0.5)


def test_a_log_without_rows_is_of_no_family():
    family = split_family(log([]), np.array([], dtype=np.int8))
    assert (family.name, family.mmrec, family.lattice) == ("other", 0.0, 0.0)


@given(degrees, st.integers(0, 9))
def test_our_own_mmrec_split_is_of_its_family(counts, seed):
    assert split_family(log(counts), split(counts, MmrecSplit(), seed)).mmrec == 1.0
