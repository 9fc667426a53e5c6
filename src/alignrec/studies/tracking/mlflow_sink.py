"""MLflow: a run on a tracking server or in a database; without either, in a SQLite file in the run's folder."""

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from alignrec.errors import UsageError
from alignrec.studies.tracking.sink import Outcome, TrackedRun, TrackingError, missing_extra

__all__ = ["MlflowSink"]

_EXPERIMENT = "alignrec"
_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
_BATCH = 100  # parameters that MLflow takes at once


class MlflowSink:
    """A run of the experiment `alignrec`, or of `MLFLOW_EXPERIMENT_NAME`.

    `to` is a tracking URI; None is `MLFLOW_TRACKING_URI` or else RUN/mlflow.db. Speaks through a client of its own, so
    that a run which the caller has open with MLflow is left alone.

    Raises:
        MissingExtraError: mlflow is not installed.
        UsageError: a URI with a password, which the run's folder would keep.
    """

    counts = True

    def __init__(self, folder: Path, to: str | None) -> None:
        # nobody is told of a run but the tracker that was asked for; who wants to help MLflow sets this to "false"
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            import sqlalchemy  # noqa: F401  (what the default place needs)
            from mlflow import MlflowClient, entities
            from mlflow.exceptions import MlflowException
        except ImportError:
            raise missing_extra("mlflow", "mlflow-skinny") from None
        if to and urlsplit(to).password:
            raise UsageError(
                "--track-to holds a password, which the run's folder would keep; give the whole URI by the environment "
                "variable MLFLOW_TRACKING_URI instead"
            )
        for noisy in ("mlflow.store.db.utils", "alembic"):  # how the database was set up
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self._client_class, self._entities, self._error = MlflowClient, entities, MlflowException
        self._folder = folder
        self._uri = to or os.environ.get("MLFLOW_TRACKING_URI") or ""
        self.place = _without_password(self._uri)
        self._client: Any = None  # Any: mlflow is an extra
        self._run_id = ""

    def begin(self, run: TrackedRun, kept: Mapping[str, str] | None) -> Mapping[str, str]:
        """Create the run with its parameters, or open it again."""
        with self._one_line():
            self._client = self._client_class(tracking_uri=self._uri or f"sqlite:///{self._folder.resolve()}/mlflow.db")
            if kept is None:
                self._run_id = self._client.create_run(self._experiment(), run_name=run.name).info.run_id
            else:
                self._run_id = kept["run_id"]
                self._client.update_run(self._run_id, status="RUNNING")
            told = self._client.get_run(self._run_id).data.params
            missing = [(name, text) for name, text in run.texts().items() if name not in told]
            for batch in _batches([self._entities.Param(name, text) for name, text in missing]):
                self._client.log_batch(self._run_id, params=batch)
        return {"run_id": self._run_id}

    def last_epoch(self) -> int:
        """The last epoch that has a learning rate; an epoch is told in one piece."""
        with self._one_line():
            return max((int(point.step) for point in self._client.get_metric_history(self._run_id, "lr")), default=0)

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """All values of an epoch, or none."""
        now = int(time.time() * 1000)  # ms
        metrics = [self._entities.Metric(name, value, now, epoch) for name, value in values.items()]
        with self._one_line():
            self._client.log_batch(self._run_id, metrics=metrics)

    def end(self, outcome: Outcome) -> None:
        """The best values as metrics at their epoch, how training ended as tags, the status as MLflow's own."""
        with self._one_line():
            if outcome.status == "finished":
                told = self._client.get_run(self._run_id).data.metrics
                self.log(outcome.best_epoch, {n: value for n, value in outcome.best.items() if n not in told})
                for name, value in (("best_epoch", outcome.best_epoch), ("ended_by", outcome.how)):
                    self._client.set_tag(self._run_id, f"alignrec.{name}", value)
            self._client.set_terminated(self._run_id, _STATUS[outcome.status])

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        # artifacts are none of ours; the default place would be a folder in whatever directory one stands in
        here = None if self._uri else (self._folder.resolve() / "mlflow-artifacts").as_uri()
        return str(self._client.create_experiment(name, artifact_location=here))

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (self._error, SQLAlchemyError, OSError) as error:
            about = str(error).strip().partition("\n")[0]
            raise TrackingError(f"MLflow at {self.place or self._folder / 'mlflow.db'} says: {about}") from None


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    if not parts.password:
        return uri
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _batches(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _BATCH):
        yield values[start : start + _BATCH]
