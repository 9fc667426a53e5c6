"""What runs are called in a figure: as the tables of comparisons call them, or as the caller says."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alignrec.errors import ArtifactError, UsageError
from alignrec.studies.run_folder import Run
from alignrec.studies.run_groups import EvaluatedRun, group_runs
from alignrec.studies.run_identity import with_present_settings

__all__ = ["checked_names", "name_runs", "open_runs"]


def open_runs(paths: Sequence[str | Path], *, finished: bool = True) -> list[Run]:
    """The runs in these folders.

    Raises:
        UsageError: none is given.
        ArtifactError: a folder without a run, or with one that is not finished.
    """
    if not paths:
        raise UsageError("no run given to draw; name the folder of at least one")
    if finished:
        return [Run.open(path) for path in paths]
    runs = [Run(Path(path)) for path in paths]
    for run in runs:
        if not run.started:
            raise ArtifactError(f"no run in {run.path}; give a folder that 'alignrec train --out' wrote")
    return runs


def name_runs(runs: Sequence[Run], names: Sequence[str] = ()) -> list[str]:
    """A name for each run, no two alike: `names`, or model, features and plug-ins and what tells the runs apart.

    Raises:
        UsageError: a number of names that is not that of the runs, a name twice, or a run twice.
    """
    if names:
        return checked_names(names, len(runs), "run")
    # nothing was evaluated here: what comparisons group by is the plan alone
    nobody = np.zeros(0, dtype=np.int64)
    groups = group_runs([EvaluatedRun(run.path, with_present_settings(run.plan), nobody, {}, {}, {}) for run in runs])
    several = len({group.plan.dataset["hash"] for group in groups}) > 1
    found = {}
    for group in groups:
        for seed, run in group.runs.items():
            name = f"{group.plan.dataset['name']}: {group.label}" if several else group.label
            found[run.path] = f"{name}, seed {seed}" if len(group.runs) > 1 else name
    return [found[run.path] for run in runs]


def checked_names(names: Sequence[str], count: int, what: str) -> list[str]:
    """`names`, if there is one for each of `count` and no two are alike.

    Raises:
        UsageError: otherwise.
    """
    if len(names) != count:
        raise UsageError(f"{len(names)} labels for {count} {what}s; give one for each {what}, in their order, or none")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise UsageError(f"label {twice[0]!r} is given twice; call every {what} by its own")
    return list(names)
