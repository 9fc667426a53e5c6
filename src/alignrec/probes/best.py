"""Which feature table to train on: the rule, and the words for it.

1. The figure is recall@20 (the middle list length where 20 is not among them). Each protocol has one vote; the masked
   ones, with vision and with text missing, share one. A protocol that not every table went through has none.
2. In each vote a table's relative recall is its recall over the highest of any table, so that protocols of different
   difficulty weigh alike; its score is the mean over the votes. The highest score leads.
3. Any other table is level with the leader if the 95 % interval of the difference of their scores includes 0: a paired
   bootstrap, over users for zero-shot and masked together, over items for item-CF, independently of each other, the
   highest recalls held fixed.
4. Among the leader and its level tables the one with the fewest columns is named, as it costs least to train on and to
   serve; then the higher score, then the order given. A table whose recall no protocol tells from chance (interval
   above the chance level) is not named if another is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignrec.errors import UsageError
from alignrec.probes.bootstrap import bootstrap_interval
from alignrec.probes.masked import MASKED
from alignrec.probes.result import Difference, ProbeResult

__all__ = ["Best", "choose_best"]

_FIGURE = 20


@dataclass(frozen=True)
class Best:
    """The feature table to train on, and why."""

    name: str
    reason: str
    scores: dict[str, float]  # table -> mean relative recall, 0..1
    behind: dict[str, Difference]  # table -> score of the leader minus its own, for all but the leader


@dataclass(frozen=True)
class _Vote:
    name: str
    results: tuple[dict[str, ProbeResult], ...]  # the protocols that share it: table -> result


def choose_best(results: Sequence[ProbeResult], sizes: Mapping[str, int], *, seed: int = 0) -> Best:
    """Apply the rule of this module.

    Args:
        results: of any protocols, each table at most once in each.
        sizes: table -> number of columns, in the order of preference where nothing else decides.
        seed: of the bootstrap.

    Raises:
        UsageError: no protocol that all tables went through, or results of different datasets.
    """
    _require_same_cases(results)
    names, votes = list(sizes), _votes(results, set(sizes))
    if not votes:
        raise UsageError(f"no protocol has results of all of {', '.join(names) or '(no tables)'}; probe them together")
    ks = results[0].ks
    k = _FIGURE if _FIGURE in ks else ks[(len(ks) - 1) // 2]
    scores = {name: sum(_terms(votes, name, k)) for name in names}
    leader = max(names, key=lambda name: scores[name])
    behind = {name: _difference(votes, leader, name, k, seed) for name in names if name != leader}
    level = [name for name in names if name == leader or behind[name].is_level]
    sure = [name for name in level if _beats_chance(votes, name, k, seed)]
    name = min(sure or level, key=lambda name: (sizes[name], -scores[name]))
    if len(names) == 1:
        why = ["the only feature table given"]
    else:
        lead = f"highest mean relative recall@{k} over {', '.join(vote.name for vote in votes)}, {scores[leader]:.3f}"
        why = [lead] if name == leader else [f"level with {leader} ({lead}; ahead by {_shown(behind[name])})"]
        why += _comparison(name, [other for other in sure or level if other != name], len(level), sizes)
    if uncounted := {_vote_of(result.protocol) for result in results} - {vote.name for vote in votes}:
        why.append(f"not counted, as not every table went through it: {', '.join(sorted(uncounted))}")
    if weak := [other for other in level if other not in sure]:
        why.append(f"no protocol tells {', '.join(weak)} from chance")
    return Best(name, "; ".join(why), scores, behind)


def _shown(difference: Difference) -> str:
    low, high = difference.interval
    return f"{difference.value:.3f} [{low:.3f}, {high:.3f}]"


def _comparison(name: str, equals: Sequence[str], n_level: int, sizes: Mapping[str, int]) -> list[str]:
    if equals:
        others = ", ".join(f"{other} {sizes[other]}" for other in equals)
        return [f"{sizes[name]} columns, no more than those level with it: {others}"]
    return ["ahead of all others (paired 95 % intervals above 0)"] if n_level == 1 else []


def _require_same_cases(results: Sequence[ProbeResult]) -> None:
    first: dict[bool, ProbeResult] = {}
    for result in results:
        known = first.setdefault(_asks_items(result), result)
        if not np.array_equal(known.cases, result.cases):
            raise UsageError(
                f"{known.protocol} of {known.features!r} and {result.protocol} of {result.features!r} do not ask the "
                "same cases; compare results on one dataset"
            )


def _asks_items(result: ProbeResult) -> bool:
    return result.protocol == "item-cf"


def _vote_of(protocol: str) -> str:
    return "masked" if protocol in MASKED.values() else protocol


def _votes(results: Sequence[ProbeResult], names: set[str]) -> list[_Vote]:
    protocols: dict[str, dict[str, ProbeResult]] = {}
    for result in results:
        protocols.setdefault(result.protocol, {})[result.features] = result
    votes: dict[str, list[dict[str, ProbeResult]]] = {}
    for protocol, tables in protocols.items():
        if names and tables.keys() >= names:
            votes.setdefault(_vote_of(protocol), []).append(tables)
    return [_Vote(name, tuple(shared)) for name, shared in votes.items()]


def _weighted(votes: Sequence[_Vote], k: int) -> list[tuple[float, dict[str, ProbeResult]]]:
    """Each protocol's results with its weight over its highest recall; 0 where no table has a hit and all are alike."""
    weighted = []
    for vote in votes:
        for tables in vote.results:
            highest = max(result.recall(k) for result in tables.values())
            weight = 1 / (len(votes) * len(vote.results))
            weighted.append((weight / highest if highest else 0.0, tables))
    return weighted


def _terms(votes: Sequence[_Vote], name: str, k: int) -> list[float]:
    return [weight * tables[name].recall(k) for weight, tables in _weighted(votes, k)]


def _difference(votes: Sequence[_Vote], first: str, second: str, k: int, seed: int) -> Difference:
    """Score of `first` minus that of `second`; cases of the same kind are resampled together."""
    samples: dict[bool, NDArray[np.float64]] = {}
    for weight, tables in _weighted(votes, k):
        of_items = _asks_items(tables[first])
        term = weight * (tables[first].hits(k) - tables[second].hits(k))
        samples[of_items] = samples[of_items] + term if of_items in samples else term
    value = sum(float(sample.mean()) for sample in samples.values())
    return Difference(value, bootstrap_interval(*samples.values(), seed=seed))


def _beats_chance(votes: Sequence[_Vote], name: str, k: int, seed: int) -> bool:
    results = [tables[name] for vote in votes for tables in vote.results]
    return any(result.interval(k, seed=seed).low > result.chance(k) for result in results)
