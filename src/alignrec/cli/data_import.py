"""What the commands under `alignrec data import` share: their options, and building and showing the dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from alignrec.cli.output import print_json
from alignrec.errors import ArtifactError, UsageError

if TYPE_CHECKING:  # heavy
    from alignrec.data import Dataset, RawData, SplitRule

__all__ = [
    "CoreOption",
    "OnErrorOption",
    "OutOption",
    "ScopeOption",
    "SeedOption",
    "SplitName",
    "SplitOption",
    "TestShareOption",
    "ValidShareOption",
    "chosen_split",
    "finish_import",
    "print_dataset",
]

SplitName = Literal["mmrec", "ratio", "temporal", "leave-one-out", "given"]


def _unused(out: Path) -> Path:
    """Refuse an occupied folder before anything is read."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ArtifactError(f"{out} already exists; choose another folder or remove it first")
    return out


OutOption = Annotated[Path, typer.Option("--out", help="Dataset folder to make.", callback=_unused)]
CoreOption = Annotated[
    int | None,
    typer.Option(
        "--core",
        min=0,
        help="Keep users and items with at least so many interactions, repeatedly; 0: all. "
        "Default: 5, and 0 where the source's own split is kept.",
    ),
]
SplitOption = Annotated[
    SplitName | None,
    typer.Option("--split", help="How interactions are split. Default: the source's own labels, else mmrec."),
]
ValidShareOption = Annotated[
    float | None, typer.Option("--valid-share", help="With ratio and temporal: share for validation (0.1).")
]
TestShareOption = Annotated[
    float | None, typer.Option("--test-share", help="With ratio and temporal: share for test (0.1).")
]
ScopeOption = Annotated[
    Literal["user", "global"] | None,
    typer.Option("--scope", help="With temporal: order each user's rows (user) or cut all at two times (global)."),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Decides the random order within users.")]
OnErrorOption = Annotated[
    Literal["fail", "skip"],
    typer.Option("--on-error", help="At a malformed row: stop, or skip it, count it and go on."),
]


def chosen_split(
    name: SplitName | None,
    *,
    valid_share: float | None = None,
    test_share: float | None = None,
    scope: str | None = None,
) -> "SplitRule | None":
    """The split rule of the options; None leaves the choice to the source.

    Raises:
        UsageError: a share or scope that the rule does not have.
    """
    from alignrec.data import split_rule  # heavy

    given = {"valid": valid_share, "test": test_share, "scope": scope}
    values: dict[str, Any] = {key: value for key, value in given.items() if value is not None}  # Any: options
    if name is not None:
        return split_rule(name, values)
    if values:
        raise UsageError("shares and scope belong to a split rule; add --split ratio or --split temporal")
    return None


def finish_import(
    raw: "RawData",
    out: Path,
    *,
    core: int | None,
    split: "SplitRule | None",
    seed: int,
    min_rating: float | None = None,
    json: bool = False,
) -> None:
    """Build the dataset folder and print what is in it."""
    from alignrec.data import build_dataset  # heavy

    print_dataset(build_dataset(raw, out, core=core, split=split, seed=seed, min_rating=min_rating), json=json)


def print_dataset(dataset: "Dataset", *, json: bool) -> None:
    """Print a dataset's description: tables, or one JSON object."""
    from rich.console import Console

    from alignrec.data import describe, render  # heavy

    description = describe(dataset)
    if json:
        print_json(description.as_dict())
    else:
        Console().print(render(description))
