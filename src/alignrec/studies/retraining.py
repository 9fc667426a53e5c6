"""A run once more from its folder: what run.json says is carried out again, into another folder.

On the same machine, with the same versions and on one thread, the results have the same bytes.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from alignrec.data import Dataset
from alignrec.errors import ArtifactError, SettingsError
from alignrec.runtime import resolve_device
from alignrec.studies.run_folder import Run, RunPlan
from alignrec.studies.run_identity import with_present_settings
from alignrec.studies.run_planning import code_hashes
from alignrec.studies.training import train_plan
from alignrec.training import Observer

__all__ = ["retrain"]


def _say(line: str) -> None:
    sys.stderr.write(f"alignrec: {line}\n")


def retrain(  # noqa: PLR0913  (one argument per option of the command)
    run: Run | str | Path,
    *,
    out: str | Path,
    dataset: str | Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    resume: bool = False,
    observers: Sequence[Observer] = (),
    track: Mapping[str, str | None] | None = None,
    say: Callable[[str], None] = _say,
) -> Run:
    """Train what the run in folder `run` trained, finished or not, into `out`.

    Model, features, plug-ins, settings and seed are the run's own. A setting that its version did not have takes its
    default, which is said.

    Args:
        run: a run or its folder.
        out: folder of the new run; must be new, unless `resume`.
        dataset: its folder; None is where it was.
        device: None is the run's.
        threads: None is the run's.
        resume: go on with the run that is in `out`, or return it if it is finished.
        observers: see `train`.
        track: see `train`.
        say: called with a line for everything that may make the results differ.

    Raises:
        ArtifactError: no run there, the dataset is gone, it or a feature table has changed, or `out` holds another run.
        FeatureError: a feature table is gone.
        SettingsError: a model, plug-in or setting that this version no longer has.
        UsageError: the run's device is not on this machine.
    """
    source = run if isinstance(run, Run) else Run(Path(run))
    if not source.started:
        raise ArtifactError(f"no run in {source.path}: it has no run.json; give the folder of a run")
    stored = source.plan
    plan = replace(
        _present(stored, source.path),
        device=str(resolve_device(device or stored.device)),
        threads=stored.threads if threads is None else threads,
    )
    data = _dataset(source, dataset)
    _check_features(data, stored, source.path)
    for line in _differences(stored, plan):
        say(line)
    return train_plan(plan, data, out=out, resume=resume, observers=observers, track=track)


def _present(stored: RunPlan, path: Path) -> RunPlan:
    """The plan as this version would write it."""
    try:
        plan = with_present_settings(stored)
    except SettingsError as error:
        raise SettingsError(f"{path} is of alignrec {stored.versions.get('alignrec', '?')}: {error}") from None
    about = {name: getattr(plan, name) for name in RunPlan.__dataclass_fields__ if name not in ("versions", "code")}
    return RunPlan(**about, code=code_hashes(plan.model, list(plan.plugins)))  # with versions and code of now


def _dataset(source: Run, folder: str | Path | None) -> Dataset:
    """The run's own dataset, from where it was or from `folder`."""
    path = source.dataset_path if folder is None else Path(folder)
    if folder is None and not path.is_dir():
        raise ArtifactError(f"the dataset of {source.path} is no longer at {path}; give it by --dataset-folder")
    return source.dataset(path)


def _check_features(data: Dataset, stored: RunPlan, path: Path) -> None:
    for name, content_hash in stored.features.items():
        present = data.features(name).content_hash
        if present != content_hash:
            raise ArtifactError(
                f"features {name!r} of {data.path} are not those that {path} was trained on (hash {content_hash[:12]}, "
                f"now {present[:12]}); give a folder that has them by --dataset-folder"
            )


def _differences(stored: RunPlan, plan: RunPlan) -> Iterator[str]:
    """What may make the results differ, a line for each kind."""
    filled = [
        f"{section}.{name}={value}"
        for section, values in plan.settings.items()
        for name, value in values.items()
        if name not in stored.settings[section]
    ]
    if filled:
        yield f"settings that the run did not have yet, at their defaults: {', '.join(filled)}"
    changed = [name for name, content_hash in plan.code.items() if stored.code.get(name, content_hash) != content_hash]
    if changed:
        yield f"the results may differ from the run's: its code has changed since, of {', '.join(changed)}"
    others = [
        f"{name} {stored.versions[name]} is now {version}"
        for name, version in plan.versions.items()
        if name in stored.versions and stored.versions[name] != version
    ]
    if others:
        yield f"the last digits may differ from the run's: {', '.join(others)}"
