"""Train a model on a dataset into a run folder: the one place where data, model, loop and evaluation meet."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from alignrec.artifacts import is_vacant, sole_writer, write_arrays, write_json
from alignrec.data import Dataset
from alignrec.data.sampling import require_negatives
from alignrec.errors import AlignrecError, ArtifactError, DataError, SettingsError, UsageError
from alignrec.evaluation import evaluate_embeddings, parse_metrics
from alignrec.models import Backbone, create_model
from alignrec.runtime import keep_large_buffers, resolve_device, set_threads, torch_rng
from alignrec.studies.run_folder import Run, RunPlan
from alignrec.studies.run_identity import with_present_settings
from alignrec.studies.run_planning import Sections, plan_run
from alignrec.studies.tracking.tracker import Tracker
from alignrec.training import FitResult, Observer, RunFiles, TrainingSettings, attach_plugins, fit
from alignrec.types import Embeddings

__all__ = ["TrainingStoppedError", "train", "train_plan", "validation"]


class TrainingStoppedError(AlignrecError):
    """Training was asked to stop and saved its state."""


def train(  # noqa: PLR0913  (one argument per option of the command)
    dataset: Dataset | str | Path,
    *,
    model: str,
    out: str | Path,
    features: Sequence[str] = (),
    plugins: Sequence[str] = (),
    settings: Sections | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int = 1,
    resume: bool = False,
    observers: Sequence[Observer] = (),
    command: str | None = None,
    track: Mapping[str, str | None] | None = None,
) -> Run:
    """Train `model` and write the run folder `out`; validation selects the epoch, the test split stays closed.

    Args:
        dataset: a dataset or its folder.
        model: name of a backbone.
        out: folder of the run; must be new, unless `resume`.
        features: names of feature tables of the dataset; `a+b` joins two into one, `raw:a+b` without scaling them.
        plugins: names of plug-ins whose losses are added to the model's; their order does not matter.
        settings: `{"model": {...}, "training": {...}, "plugin.NAME": {...}}`; what is not named keeps its default.
        seed: decides initial parameters and everything drawn in training.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        threads: CPU threads; one makes the run repeatable to the byte.
        resume: go on with the run that is in `out`, or return it if it is finished.
        observers: called after every epoch with its line of metrics.jsonl and the objective; what one raises ends the
            run, and `resume` goes on with it.
        command: what `run.json` says made the run; by default the command line of this process.
        track: trackers that follow the run, `tensorboard`, `mlflow` or `wandb`, each with its folder or URI, or None
            for the usual place; they change nothing of the results.

    Raises:
        SettingsError: unknown model, plug-in or setting, or features that one of them needs are missing.
        DataError: the dataset is only in memory, or its validation split is empty.
        FeatureError: the dataset has no such features.
        ArtifactError: `out` holds another run, or another process writes it.
        MissingExtraError: a tracker is not installed.
        TrackingError: a tracker cannot be begun with.
        TrainingStoppedError: Ctrl-C was pressed; the state is saved.
        TrainingError: nothing to train on, or a loss that is not finite.
    """
    data = dataset if isinstance(dataset, Dataset) else Dataset.load(dataset)
    where = resolve_device(device)
    plan = plan_run(data, model, features, plugins, settings or {}, seed, where, threads)
    return train_plan(plan, data, out=out, resume=resume, observers=observers, command=command, track=track)


def train_plan(
    plan: RunPlan,
    data: Dataset,
    *,
    out: str | Path,
    resume: bool = False,
    observers: Sequence[Observer] = (),
    command: str | None = None,
    track: Mapping[str, str | None] | None = None,
) -> Run:
    """Carry out `plan` on the dataset that it was made for; the rest is as in `train`.

    Raises:
        DataError: the dataset is only in memory, or has no validation split.
    """
    if data.path is None:
        raise DataError(f"dataset {data.name!r} is only in memory; save it first")
    run = Run(Path(out))
    tracker = Tracker(run.path, track or {})
    if _already_there(run, plan, resume):
        with tracker.following():  # what a tracker lacks of a finished run is told now
            return run
    set_threads(plan.threads)
    keep_large_buffers()
    view = data.train_view(list(plan.features))
    training = TrainingSettings.create(plan.settings["training"], section="training")
    require_negatives(view.interactions, data.users.ids)
    backbone = create_model(plan.model, view, torch_rng(plan.seed, "init"), plan.settings["model"])
    objective = attach_plugins(backbone, view, plan.plugins, plan.seed)
    validate = validation(data, training.metric)
    with sole_writer(run.path):
        if _already_there(run, plan, resume):  # another process has finished it meanwhile
            return run
        if not run.started:
            run.start(plan, data.path, command or " ".join(["alignrec", *sys.argv[1:]]))
        with tracker.following(stopped=(TrainingStoppedError,)):
            result = fit(
                objective,
                view,
                training,
                validate,
                seed=plan.seed,
                device=torch.device(plan.device),
                files=RunFiles(run.path),
                label=plan.model,
                observers=(tracker.observe, *observers),
            )
            if result.status == "interrupted":
                raise TrainingStoppedError(
                    f"stopped after epoch {result.epochs} (best so far: epoch {result.best_epoch}); "
                    "the same command with --resume goes on from there"
                )
            _finish(run, backbone, result, validate)
    return run


def validation(dataset: Dataset, metric: str) -> Callable[[Embeddings], dict[str, float]]:
    """Metrics on the validation split, at the cut-off of `metric` and by its side NDCG.

    Raises:
        DataError: the validation split is empty.
        SettingsError: no such metric.
    """
    train_matrix, truth = dataset.split("train"), dataset.split("valid")
    if truth.nnz == 0:
        raise DataError(f"dataset {dataset.name!r} has an empty validation split; import it with another --split")
    cutoff = metric.rpartition("@")[2]
    names = list(dict.fromkeys([metric, f"recall@{cutoff}", f"ndcg@{cutoff}"]))
    try:
        parse_metrics(names)
    except UsageError as error:
        raise SettingsError(f"setting 'training.metric': {error}") from None

    def validate(embeddings: Embeddings) -> dict[str, float]:
        reports = evaluate_embeddings(embeddings, {"valid": truth}, seen=train_matrix, metrics=names)
        return dict(reports["valid"].means)

    return validate


def _already_there(run: Run, plan: RunPlan, resume: bool) -> bool:
    """Whether the finished run is there; refuses a folder with anything else than this plan's run."""
    if not run.started:
        if not is_vacant(run.path):
            raise ArtifactError(f"{run.path} exists and is not a run folder; choose another --out")
        return False
    if not resume:
        state = "a finished run" if run.finished else "an unfinished run"
        raise ArtifactError(
            f"{run.path} holds {state}; add --resume to go on with it, choose another --out, or remove it"
        )
    difference = plan.difference(with_present_settings(run.plan))  # an older version may have begun it
    if difference:
        raise ArtifactError(f"{run.path} holds another run: {difference}; choose another --out, or remove it")
    if run.finished:  # a kill may have come between the last file and this
        shutil.rmtree(run.path / "checkpoint", ignore_errors=True)
    return run.finished


def _finish(
    run: Run, backbone: Backbone[Any], result: FitResult, validate: Callable[[Embeddings], dict[str, float]]
) -> None:
    backbone.eval()
    with torch.no_grad():
        reps = backbone.represent()
    tables = {**reps.views, "final": reps.final}  # whatever a model calls its views
    arrays = {
        f"{name}.{side}": getattr(table, side).detach().cpu().numpy().copy()
        for name, table in tables.items()
        for side in ("users", "items")
    }
    arrays |= {f"content.{name}.items": reps.content[name].detach().cpu().numpy().copy() for name in reps.content}
    weights = {name: tensor.detach().cpu().numpy() for name, tensor in backbone.state_dict().items()}
    write_arrays(run.path / "representations.safetensors", arrays)
    write_arrays(run.path / "model.safetensors", weights)
    how = {"status": result.status, "epochs": result.epochs, "best_epoch": result.best_epoch}
    # the last file written: it says that the run is finished
    write_json(run.path / "report.json", {"valid": validate(reps.final.detach()), "training": how})
    shutil.rmtree(run.path / "checkpoint", ignore_errors=True)
