import numpy as np
import pytest

from alignrec.data.shop_attributes import draw_attributes
from alignrec.data.shop_users import draw_activity, draw_purchases

SHARES = {"brand_keeps_style": 0.6, "colour_in_text": 0.5, "texture_in_text": 0.25}


def purchases(*, items=300, users=400, per_user=8, taste=5.0, popularity=0.9, weights=None, seed=0):
    rng = np.random.default_rng(seed)
    attributes = draw_attributes(items, rng, **SHARES)
    weights = weights or {"category": 1.0, "colour": 1.0}
    activity = np.full(users, per_user)
    return attributes, draw_purchases(attributes, activity, weights, rng, taste=taste, popularity=popularity)


def test_activity_has_the_mean_asked_for_and_a_long_tail():
    activity = draw_activity(50_000, 9.0, 5, 500, np.random.default_rng(0))
    assert activity.min() == 5
    assert activity.mean() == pytest.approx(9.0, abs=0.15)
    assert np.quantile(activity, 0.99) > 3 * np.median(activity)


def test_nobody_buys_more_than_the_limit():
    assert draw_activity(1000, 9.0, 5, 12, np.random.default_rng(0)).max() == 12


def test_nobody_buys_an_item_twice():
    _, log = purchases()
    assert len(log.unique(["user", "item"])) == len(log) == 400 * 8


def test_purchases_come_user_by_user_in_time():
    _, log = purchases()
    assert log.equals(log.sort("user", "timestamp", maintain_order=True))
    assert log["timestamp"].min() >= 1_672_531_200  # 2023-01-01
    assert log["timestamp"].max() < 1_672_531_200 + 731 * 86_400


def test_shops_open_in_the_daytime():
    _, log = purchases()
    hours = log["timestamp"].to_numpy() % 86_400 // 3600
    assert hours.min() >= 7
    assert hours.max() <= 22


def test_taste_makes_a_user_stay_with_what_they_like():
    attributes, log = purchases(taste=6.0)
    _, chance = purchases(taste=0.0)
    category = attributes.category

    def kinds(frame):
        return np.mean([len(set(category[list(items)])) for items in frame.group_by("user").agg("item")["item"]])

    assert kinds(log) < 0.6 * kinds(chance)


def test_an_attribute_without_weight_plays_no_part():
    attributes, log = purchases(users=2000, taste=6.0, weights={"category": 1.0, "colour": 0.0})
    bought = attributes.colour[log["item"].to_numpy()].reshape(2000, 8)
    same = (bought[:, :1] == bought[:, 1:]).mean()
    expected = (np.bincount(attributes.colour) / len(attributes)) ** 2
    assert same == pytest.approx(expected.sum(), abs=0.03)


def test_popularity_makes_a_long_tail():
    def top_share(popularity):
        counts = np.bincount(purchases(popularity=popularity)[1]["item"].to_numpy(), minlength=300)
        return np.sort(counts)[-30:].sum() / counts.sum()

    assert top_share(1.2) > 1.8 * top_share(0.0)


def test_without_taste_items_are_drawn_by_popularity_alone():
    _, log = purchases(items=50, users=40_000, per_user=1, taste=0.0, popularity=1.0)
    counts = np.sort(np.bincount(log["item"].to_numpy(), minlength=50))[::-1]
    expected = (1 / np.arange(1, 51)) / (1 / np.arange(1, 51)).sum()
    assert counts[:5] / 40_000 == pytest.approx(expected[:5], rel=0.06)
