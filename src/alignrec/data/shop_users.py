"""Who buys what in the built-in shop: a random utility model (McFadden 1974) with personal taste over attributes.

User u's utility of item i is t Σ_a w_a z[u, a, value of a at i] - p ln(rank of i) + g: z is standard normal, Σ w_a² = 1
and g standard Gumbel. A user with n purchases takes the n items of highest utility, which equals drawing n items
one after the other without replacement with probability proportional to exp(utility without g).
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from alignrec.data.shop_attributes import ATTRIBUTES, ItemAttributes

__all__ = ["draw_activity", "draw_purchases"]

_OPENING = 1_672_531_200  # 1 January 2023, 00:00 UTC
_DAY = 86_400
_DAYS = 730
_BLOCK = 512  # users whose utilities (block, I) are held at once


def draw_activity(users: int, mean: float, minimum: int, limit: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How many items each user buys, (U,): at least `minimum`, on average about `mean`, a few very many.

    What goes beyond the minimum is log-normal. Nobody buys more than `limit`.
    """
    spread = 1.1
    beyond = rng.lognormal(np.log(max(mean - minimum, 1e-9)) - spread**2 / 2, spread, size=users)
    whole = np.floor(beyond + rng.random(users)).astype(np.int64)  # rounds so that the mean is kept
    return np.minimum(minimum + whole, limit)


def draw_purchases(
    attributes: ItemAttributes,
    activity: NDArray[np.int64],
    weights: Mapping[str, float],
    rng: np.random.Generator,
    *,
    taste: float,
    popularity: float,
) -> pl.DataFrame:
    """Draw the purchases of U users.

    Args:
        attributes: what the I items are.
        activity: (U,) how many items each user buys.
        weights: how much each attribute counts in taste, by name.
        rng: the only source of chance.
        taste: t above, the standard deviation of the personal part.
        popularity: p above; 0 makes all items equally popular.

    Returns:
        Columns user, item (indices) and timestamp (seconds), sorted by user and time.
    """
    ranks = rng.permutation(len(attributes)) + 1
    fame = -popularity * np.log(ranks)  # (I,)
    length = float(np.sqrt(sum(weight**2 for weight in weights.values()))) or 1.0
    bought = []
    for start in range(0, len(activity), _BLOCK):
        counts = activity[start : start + _BLOCK]
        utility = fame + rng.gumbel(size=(len(counts), len(attributes)))  # (block, I)
        for name, weight in weights.items():
            liking = rng.standard_normal((len(counts), len(ATTRIBUTES[name])))  # z
            utility += (taste * weight / length) * liking[:, attributes.codes(name)]
        most = int(counts.max())
        best = np.argpartition(-utility, most - 1, axis=1)[:, :most]
        order = np.argsort(-np.take_along_axis(utility, best, axis=1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        bought.append(best[np.arange(most) < counts[:, None]])  # row by row: sorted by user
    users = np.repeat(np.arange(len(activity)), activity)
    frame = pl.DataFrame({"user": users, "item": np.concatenate(bought), "timestamp": _draw_times(activity, rng)})
    return frame.sort("user", "timestamp", maintain_order=True)


def _draw_times(activity: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Seconds since 1970 of each purchase: a user joins some day of the shop's two years and buys until its end.

    Purchases fall between seven in the morning and eleven at night, independently of how much an item is liked.
    """
    joined = rng.uniform(0, 0.8 * _DAYS, size=len(activity))
    total = int(activity.sum())
    since = np.repeat(joined, activity)
    day = np.floor(since + rng.random(total) * (_DAYS - since)).astype(np.int64)
    clock = rng.triangular(7, 19, 23, size=total) * 3600
    return _OPENING + day * _DAY + clock.astype(np.int64)
