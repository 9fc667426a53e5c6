"""What each row of a study recommends to a few users, beside what they took before and after.

The users are drawn by a seed from all who have something in the test split, before any list is made: nobody chose the
ones that look well. Lists are those of the evaluation: all items but the user's training items are candidates.
"""

from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from alignrec.data import SPLITS, Dataset
from alignrec.ranking import top_k
from alignrec.runtime import numpy_rng
from alignrec.studies.page.parts import notes
from alignrec.studies.page.pictures import data_uris
from alignrec.studies.page.results import DatasetResults
from alignrec.studies.run_folder import Run
from alignrec.types import Interactions

__all__ = ["LENGTH", "ExampleUser", "draw_users", "examples_markup", "recommended"]

LENGTH = 10  # of the lists, and of the history that is shown
_SAID = {"test": "hit", "valid": "validation"}


@dataclass(frozen=True)
class ExampleUser:
    """One user: what was taken in each split, and what every row recommends."""

    user: int
    taken: dict[str, NDArray[np.int64]]  # split -> items, the latest first where times are known
    lists: dict[str, NDArray[np.int64]]  # row -> items, best first

    def mark(self, item: int) -> str:
        """The split in which the user took a recommended item later: `test`, `valid` or empty."""
        return next((split for split in ("test", "valid") if item in self.taken[split]), "")


def draw_users(data: Dataset, count: int, seed: int) -> NDArray[np.int64]:
    """`count` users (or all there are) drawn from those with something in the test split; ascending."""
    tested = np.flatnonzero(np.diff(data.split("test").indptr))
    rng = numpy_rng(seed, "study page", data.content_hash)
    return np.sort(rng.permutation(tested)[:count]).astype(np.int64)


def recommended(results: DatasetResults, data: Dataset, users: NDArray[np.int64]) -> list[ExampleUser]:
    """The users with the lists of the first finished seed of every row."""
    train = data.split("train")
    lists = {row: _lists(run, train, users) for row, (run, _) in results.first_runs().items()}
    return [
        ExampleUser(int(user), _taken(data, int(user)), {row: found[place] for row, found in lists.items()})
        for place, user in enumerate(users)
    ]


def _lists(run: Run, train: Interactions, users: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    reps = run.embeddings()
    ranking = top_k(reps.users, reps.items, LENGTH, exclude=train, rows=users)
    return [items[items >= 0] for items in ranking.items.numpy()]


def _taken(data: Dataset, user: int) -> dict[str, NDArray[np.int64]]:
    places = np.flatnonzero(data.log.users == user)
    if data.log.timestamps is not None:
        places = places[np.argsort(-data.log.timestamps[places], kind="stable")]
    splits = data.log.splits[places]
    items = data.log.items[places].astype(np.int64)
    return {name: items[splits == number] for number, name in enumerate(SPLITS)}


def examples_markup(results: DatasetResults, *, users: int, seed: int, budget: int) -> str:
    """The examples of one dataset, its pictures within `budget` bytes."""
    data = results.data
    if data is None:
        return notes([f"No examples: {results.absence}."])
    drawn = recommended(results, data, draw_users(data, users, seed))
    shelf = _Shelves(data, drawn, budget, [row for row in results.rows if row not in results.first_runs()])
    said = [
        f"{len(drawn)} user{'' if len(drawn) == 1 else 's'}, drawn with seed {seed} from all who have something in the "
        f"test split, whatever the lists are; the first {LENGTH} items of each list, by the first seed of each row. "
        "Training items are never recommended. A hit was taken in the test split."
    ]
    return "\n".join([notes(said), *(shelf.user(each) for each in drawn)])


class _Shelves:
    """Users and their items as markup; pictures are made once for all of them."""

    def __init__(self, data: Dataset, users: list[ExampleUser], budget: int, without: list[str]) -> None:
        self._data, self._without = data, without
        shown = [item for user in users for row in (*_histories(user), *user.lists.values()) for item in row.tolist()]
        self._paths = {item: data.image_path(item) for item in sorted(set(shown))}
        self._uris = data_uris((path for item in shown if (path := self._paths[item]) is not None), budget)

    def user(self, user: ExampleUser) -> str:
        """All shelves of one user."""
        train, test = _histories(user)
        more = len(user.taken["train"]) - len(train)
        above = "latest first" if self._data.log.timestamps is not None else ""
        details = ", ".join(part for part in (above, f"{more} more" if more else "") if part)
        parts = [
            self._row("Took in training", train, details),
            self._row("Took in test", test, ""),
            *(self._list(label, items, user) for label, items in user.lists.items()),
            *(_shelf(label, "no run is finished", "", kind="shelf recommended") for label in self._without),
        ]
        heading = f"<h3>User {escape(self._data.users.ids[user.user])}</h3>"
        return f'<div class="user">\n{heading}\n' + "\n".join(parts) + "\n</div>"

    def _list(self, label: str, items: NDArray[np.int64], user: ExampleUser) -> str:
        hits = sum(user.mark(item) == "test" for item in items.tolist())
        cards = "".join(self._card(item, user.mark(item)) for item in items.tolist())
        return _shelf(label, f"{hits} hit{'' if hits == 1 else 's'}", cards, kind="shelf recommended")

    def _row(self, label: str, items: NDArray[np.int64], details: str) -> str:
        return _shelf(label, details, "".join(self._card(item, "") for item in items.tolist()), kind="shelf")

    def _card(self, item: int, mark: str) -> str:
        """A picture above its title; without a picture the title stands in its place."""
        title = escape(self._data.catalogue.value("title", item) or self._data.items.ids[item])
        path = self._paths[item]
        uri = self._uris.get(path) if path is not None else None
        below = f'<span class="mark">{_SAID[mark]}</span>' if mark else ""
        css = f' class="{mark}"' if mark else ""
        if uri is None:
            return f'<li{css} title="{title}"><span class="untold">{title}</span>{below}</li>'
        return f'<li{css} title="{title}"><img src="{uri}" alt=""><span class="title">{title}</span>{below}</li>'


def _histories(user: ExampleUser) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return user.taken["train"][:LENGTH], user.taken["test"][:LENGTH]


def _shelf(label: str, details: str, cards: str, *, kind: str) -> str:
    small = f"<br><small>{escape(details)}</small>" if details else ""
    return f'<div class="{kind}"><h4>{escape(label)}{small}</h4><ul>{cards}</ul></div>'
