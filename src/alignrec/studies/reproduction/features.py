"""Which feature tables of a dataset stand for a paper's feature sets, and how far they are what the paper used.

Amazon: 4096 image and 384 text features; CLIP: a fine-tuned CLIP's; AlignRec: 768 features of its own encoder;
layers-N: of such an encoder with N layers. SET-text and SET-image are those left when vision or text is taken away.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from alignrec.data import Dataset
from alignrec.errors import UsageError

__all__ = ["FeatureSets", "parse_feature_sets"]

_SIZES = {
    "Amazon": (4096, 384),
    "Amazon-text": (384,),
    "Amazon-image": (4096,),
    "CLIP": None,  # not stated
    "AlignRec": (768,),
    "AlignRec-text": (768,),
    "AlignRec-image": (768,),
    "layers-12": (768,),
    "layers-16": (768,),
    "layers-20": (768,),
}


def parse_feature_sets(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """`["Amazon=image,text", "CLIP=clip"]` by set; `["image,text"]` without a set stands under the empty name.

    Raises:
        UsageError: an unknown set, a set given twice, or no table.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, tables = text.partition("=")
        if not equals:
            name, tables = "", text
        key = next((known for known in ("", *_SIZES) if known.lower() == name.strip().lower()), None)
        names = tuple(part.strip() for part in tables.split(",") if part.strip())
        if key is None:
            raise UsageError(f"unknown feature set {name!r} in {text!r}; allowed: {', '.join(_SIZES)}")
        if not names or key in found:
            raise UsageError(f"cannot use --features {text!r}; give each set once, as in Amazon=IMAGE,TEXT")
        found[key] = names
    return found


@dataclass(frozen=True)
class FeatureSets:
    """The sets of one dataset."""

    dataset: Dataset
    given: Mapping[str, tuple[str, ...]]  # set -> tables; "": those of no particular set
    distinct: bool = False  # whether sets are compared, so that AlignRec's cannot be Amazon's where it is not there

    @cached_property
    def _about(self) -> dict[str, tuple[str, int]]:
        """Modality and size of every table."""
        tables = {name: self.dataset.features(name) for name in self.dataset.feature_names}
        return {name: (table.modality, table.size) for name, table in tables.items()}

    def tables(self, name: str) -> tuple[str, ...]:
        """The tables that stand for the set `name`; none for the empty name and where the dataset has none."""
        if not name:
            return ()
        if name in self.given:
            return self.given[name]
        base, _, kept = name.partition("-")
        if kept in ("text", "image"):
            whole = self.tables(base)
            part = tuple(table for table in whole if self._modality(table) == kept)
            return part if len(whole) > len(part) == 1 else ()
        if name == "AlignRec":
            unified = self._of("image+text")
            if len(unified) == 1 and (self.distinct or "" not in self.given):
                return unified
            return () if self.distinct else self.given.get("") or self.tables("Amazon")
        if name == "Amazon":
            pair = (*self._of("image"), *self._of("text"))
            fits = len(self._of("image")) == len(self._of("text")) == 1
            return self.given.get("") or (pair if fits else ())
        return ()

    def refusal(self, name: str) -> str:
        """Why the set `name` has no tables, and what to do."""
        there = ", ".join(f"{table} ({kind}, {size})" for table, (kind, size) in self._about.items()) or "none"
        sizes = _SIZES[name]
        wanted = "" if sizes is None else f" ({' + '.join(map(str, sizes))} numbers an item)"
        return f"needs {name} features{wanted}; the dataset has {there}; name them with --features {name}=TABLE"

    def difference(self, name: str) -> str | None:
        """In what the tables cannot be those of the paper; None if their sizes say nothing against it."""
        return self.difference_of(name, self.tables(name))

    def difference_of(self, name: str, found: tuple[str, ...]) -> str | None:
        """The same for tables that a run was given in place of the set."""
        sizes = _SIZES.get(name)
        mine = tuple(self._size(table) for table in found)
        shown = " + ".join(f"{table} ({size})" for table, size in zip(found, mine, strict=True))
        if not name or not found:
            return None
        if sizes is None:
            return f"features {shown}; what the paper's {name} features were cannot be checked"
        if sorted(mine) != sorted(sizes):
            return f"features {shown} are not {name}'s ({' + '.join(map(str, sizes))})"
        return None

    def by_table(self, tables: Iterable[str], by_modality: Mapping[str, float]) -> dict[str, float] | None:
        """Values by modality as values by table; None unless there is just one table of each."""
        names = list(tables)
        kinds = [self._modality(table) for table in names]
        if sorted(kinds) != sorted(by_modality):
            return None
        return {table: by_modality[kind] for table, kind in zip(names, kinds, strict=True)}

    def _of(self, modality: str) -> tuple[str, ...]:
        return tuple(name for name, (kind, _) in self._about.items() if kind == modality)

    def _modality(self, table: str) -> str:
        return self._about[table][0] if table in self._about else self.dataset.features(table).modality

    def _size(self, table: str) -> int:
        return self._about[table][1] if table in self._about else self.dataset.features(table).size
