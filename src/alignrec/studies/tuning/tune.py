"""Search the settings of a model: trials are ordinary runs, chosen on validation; the test split stays closed.

A search is a folder: tune.json (what was asked, what came out) · tune.csv · tune.db (the record) · trials/NNNN (runs).
The same call goes on with it after a kill, and several processes may work on one at once.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from alignrec.data import Dataset
from alignrec.errors import SettingsError, TrainingError, UsageError
from alignrec.evaluation import parse_metrics
from alignrec.models import create_model
from alignrec.runtime import resolve_device, torch_rng
from alignrec.studies.run_folder import PLUGIN_PREFIX, RunPlan
from alignrec.studies.run_planning import Sections, plan_run
from alignrec.studies.training import validation
from alignrec.studies.tuning.proposals import SamplerName
from alignrec.studies.tuning.result import TuneResult, TuneTask
from alignrec.studies.tuning.search import Search, Training
from alignrec.studies.tuning.space import Choices, Range, Space, build_space
from alignrec.studies.tuning.trials import PrunerName, require_optuna
from alignrec.training import TrainingSettings, attach_plugins

__all__ = ["DRAWN_TRIALS", "tune"]

DRAWN_TRIALS = 20  # by default, of a search that is not a grid
_MANY = 10_000  # points that are not counted
_SAMPLE = 5  # points looked at before a search begins


def tune(  # noqa: PLR0913  (one argument per option of the command)
    dataset: Dataset | str | Path,
    *,
    model: str,
    out: str | Path,
    features: Sequence[str] = (),
    plugins: Sequence[str] = (),
    settings: Sections | None = None,
    space: Mapping[str, Any] | None = None,  # Any: lists of JSON values, or ranges in words
    defaults: bool = True,
    trials: int | None = None,
    sampler: SamplerName = "grid",
    seed: int = 0,
    seeds: Sequence[int] | None = None,
    pruner: PrunerName = "none",
    metric: str = "recall@20",
    select: Literal["valid", "test"] = "valid",
    device: str = "auto",
    threads: int = 1,
    announce: Callable[[str], None] = lambda _line: None,
) -> TuneResult:
    """Train a model with many settings and name those that validate best; go on with the search that is in `out`.

    Args:
        dataset: a dataset or its folder.
        model: name of a backbone.
        out: folder of the search.
        features: names of feature tables, as for `train`.
        plugins: names of plug-ins, as for `train`.
        settings: those that are the same in every trial, as for `train`.
        space: full name of a setting -> list of values, or `low..high`, or `log:low..high`; added to the lists that
            the model and the plug-ins are published with, or in place of one.
        defaults: whether those lists are searched.
        trials: how many in all; by default the whole grid, or 20 drawn ones.
        sampler: `grid`, `random`, or `tpe`; ranges need one of the latter two.
        seed: decides what is drawn; and the training, unless `seeds` are given.
        seeds: of training; a trial is worth the mean of their validation.
        pruner: `median` ends a trial early whose best epoch is below the median of the others.
        metric: of validation; stops the training and compares trials.
        select: `test` adds what selecting on the test split would have named: never a result, see the guide.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        threads: CPU threads of a trial.
        announce: called with a line before the start and after every trial.

    Raises:
        MissingExtraError: Optuna is not installed.
        SettingsError: an unknown model, plug-in or setting, a value it cannot have, or nothing to search.
        ArtifactError: `out` holds something else.
        TrainingStoppedError: Ctrl-C was pressed; the same call goes on.
        TrainingError: no trial could be trained.
    """
    require_optuna()
    data = dataset if isinstance(dataset, Dataset) else Dataset.load(dataset)
    fixed, seeds = _with_metric(settings or {}, metric), _distinct(seeds if seeds is not None else [seed])
    plan = plan_run(data, model, features, plugins, fixed, seed, resolve_device(device), threads)
    searched = build_space(model, plugins, fixed, space or {}, defaults=defaults)
    planned, size = _planned(searched, sampler, trials)
    if not features:
        _refuse_missing_features(data, plan, searched)
    validation(data, metric)
    task = TuneTask(
        model=plan.model,
        dataset=plan.dataset,
        features=plan.features,
        plugins=tuple(plan.plugins),
        settings=fixed,
        space=searched.as_json(),
        sampler=sampler,
        seed=seed,
        seeds=seeds,
        pruner=pruner,
        metric=metric,
    )
    how = Training(device, threads, int(plan.settings["training"]["epochs"]))
    with closing(Search(data, Path(out), task, searched, planned, how)) as search:
        announce(f"tuning {task.model} on {data.name}: {size}{search.progress()}")
        search.work(announce)
        result = search.result()
        if result.best is None and not result.count("running"):
            reason = next((trial.reason for trial in result.trials if trial.reason), "all were pruned")
            raise TrainingError(f"none of {len(result.trials)} trials was trained to its end: {reason}")
        return search.measured_on_test(result) if select == "test" else result


def _with_metric(settings: Sections, metric: str) -> dict[str, dict[str, Any]]:
    """The fixed settings with the metric among them, unless it is the usual one."""
    parse_metrics([metric])
    fixed = {section: dict(values) for section, values in settings.items()}
    if "metric" in fixed.get("training", {}):
        raise SettingsError("training.metric is what trials are compared by; give it as --metric")
    if metric != TrainingSettings().metric:
        fixed.setdefault("training", {})["metric"] = metric
    return fixed


def _distinct(seeds: Sequence[int]) -> tuple[int, ...]:
    if not seeds or len(set(seeds)) < len(seeds):
        raise UsageError(f"seeds {list(seeds)} are not different numbers; write them as in 0,1,2")
    return tuple(seeds)


def _planned(space: Space, sampler: SamplerName, trials: int | None) -> tuple[int, str]:
    """How many trials there will be, and what they are, in words."""
    if trials is not None and trials < 1:
        raise UsageError(f"trials must be at least 1, not {trials}")
    points = sum(1 for _ in space.grid()) if sampler == "grid" or (space.size or _MANY) < _MANY else None
    wanted = trials if trials is not None else points if sampler == "grid" else DRAWN_TRIALS
    planned = min(count for count in (wanted, points) if count is not None)
    axes = ", ".join(f"{name} {_width(axis)}" for name, axis in space.axes.items())
    left_out = (space.size or 0) - points if points is not None else 0
    misfits = f"; {left_out} points whose settings do not fit together are left out" if left_out else ""
    among = f" of {points} points" if points is not None else ""
    return planned, f"{planned} trials{among}, {sampler} over {axes}{misfits}"


def _width(axis: Choices | Range) -> str:
    return f"x {len(axis.values)}" if isinstance(axis, Choices) else str(axis.as_json())


def _refuse_missing_features(data: Dataset, plan: RunPlan, space: Space) -> None:
    """Without features, make the model of a few points: where it or a plug-in needs them every trial would fail.

    Raises:
        SettingsError: none of them can be made.
    """
    view, refusal = data.train_view([]), None
    for point in islice(space.grid() if space.size is not None else [{}], _SAMPLE):
        settings = space.sections(point)
        plugins = {name: settings.get(PLUGIN_PREFIX + name, {}) for name in plan.plugins}
        try:
            backbone = create_model(plan.model, view, torch_rng(plan.seed, "init"), settings.get("model"))
            attach_plugins(backbone, view, plugins, plan.seed)
        except SettingsError as error:
            refusal = refusal or error
        else:
            return
    if refusal is not None:
        raise refusal
