"""A mapping whose values are computed when they are first read.

A backbone can show more of itself than its own losses read; what nobody asks for in a training step costs nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

__all__ = ["LazyMapping"]

V = TypeVar("V")


class LazyMapping(Mapping[str, V]):
    """Values that are there, and functions for those that are not yet.

    A function runs once, at the first look-up of its name, in the gradient mode of then. What it gives belongs to one
    forward pass: look before the parameters change.
    """

    def __init__(self, makers: Mapping[str, Callable[[], V]], made: Mapping[str, V] | None = None) -> None:
        self._makers, self._made = dict(makers), dict(made or {})
        self._names = dict.fromkeys((*self._made, *self._makers))

    def __getitem__(self, name: str) -> V:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names  # Mapping's own would compute the value
