"""The trials of a search, shared by all processes that work on it: who runs which one, and what came out.

The record is Optuna's (SQLite, `tune.db`), so its own tools can open it. Beside it lies a lock file per trial. The
system drops a lock when its process ends, however it ends: a trial that is recorded as running and whose lock is free
was cut short and can be taken up again. A trial is created with its parameters in one transaction.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from alignrec.errors import ArtifactError, MissingExtraError
from alignrec.studies.tuning.proposals import decode, distributions, encode
from alignrec.studies.tuning.space import Parameters, Space

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from optuna.trial import FrozenTrial

__all__ = ["Claim", "PrunerName", "Trial", "TrialBook", "require_optuna"]

PrunerName = Literal["none", "median"]
State = Literal["complete", "pruned", "failed", "running"]

_STUDY = "tune"
_STATES: Mapping[str, State] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
_WAIT = 60  # seconds for the database, where another process writes
_STARTUP = 5  # trials that are finished before one is pruned
_WARMUP = 10  # epochs that a trial has at least


def require_optuna() -> None:
    """Raise unless Optuna is there.

    Raises:
        MissingExtraError: it is not.
    """
    try:
        import filelock  # noqa: F401
        import optuna
    except ModuleNotFoundError:
        raise MissingExtraError("tuning needs Optuna; install it with: pip install 'alignrec[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Trial:
    """One point that was tried, or is being."""

    number: int
    state: State
    parameters: Parameters
    value: float | None  # mean of the seeds' validation; of a pruned trial the best it had
    values: Mapping[int, float] = field(default_factory=dict)  # by seed
    epochs: Mapping[int, int] = field(default_factory=dict)  # trained, by seed
    reason: str | None = None  # why it failed


@dataclass(frozen=True)
class Claim:
    """A trial that this process runs."""

    number: int
    parameters: Parameters
    trial_id: int
    lock: "BaseFileLock"


class TrialBook:
    """The trials of the search in a folder."""

    def __init__(self, folder: Path, space: Space, *, pruner: PrunerName, epochs: int) -> None:
        """Open or begin the record in `folder`; call with the folder locked.

        Args:
            folder: of the search.
            space: what is searched.
            pruner: `median` ends a trial whose best is below the median of the others in the same epoch.
            epochs: most epochs of a trial.

        Raises:
            ArtifactError: the record cannot be read.
        """
        import optuna  # an extra
        from sqlalchemy.exc import DatabaseError

        self._space, self._locks = space, folder / "locks"
        try:
            self._storage = optuna.storages.RDBStorage(
                f"sqlite:///{folder / 'tune.db'}", engine_kwargs={"connect_args": {"timeout": _WAIT}}
            )
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=_STUDY,
                direction="maximize",
                load_if_exists=True,
                sampler=optuna.samplers.RandomSampler(0),  # never asked: points come from Proposals
                pruner=_pruner(pruner, epochs),
            )
        except (DatabaseError, RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ArtifactError(
                f"{folder / 'tune.db'} is not a usable record ({reason}); choose another --out"
            ) from None
        self._id = self._storage.get_study_id_from_name(_STUDY)

    def close(self) -> None:
        """Let go of the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def trials(self) -> tuple[Trial, ...]:
        """All trials, in the order of their numbers."""
        return tuple(_trial(trial) for trial in self._stored())

    def claim(
        self, limit: int | None, propose: Callable[[Sequence["FrozenTrial"]], dict[str, Any] | None]
    ) -> Claim | None:
        """The next trial to run: one that was cut short, or a new one while there are fewer than `limit`.

        Call with the folder locked.
        """
        stored = self._stored()
        for trial in stored:
            if trial.state.name == "RUNNING" and (claim := self._take_up(trial)):
                return claim
        if limit is not None and len(stored) >= limit:
            return None
        point = propose(stored)
        lock = self._try_lock(len(stored)) if point is not None else None
        if point is None or lock is None:
            return None
        import optuna  # an extra

        template = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=encode(self._space, point),
            distributions=distributions(self._space),
        )
        return Claim(len(stored), point, self._storage.create_new_trial(self._id, template), lock)

    def _take_up(self, trial: "FrozenTrial") -> Claim | None:
        lock = self._try_lock(trial.number)
        if lock is None:
            return None
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._id, trial.number)
        if self._storage.get_trial(trial_id).state.is_finished():  # between the look at the record and the lock
            lock.release()
            return None
        return Claim(trial.number, decode(trial.params), trial_id, lock)

    @contextmanager
    def held(self, claim: Claim) -> Iterator[None]:
        """Let go of a trial when the block ends, finished or not."""
        try:
            yield
        finally:
            claim.lock.release()

    def prunes(self, claim: Claim, epoch: int, value: float) -> bool:
        """Note the validation of an epoch; whether the trial should end here."""
        self._storage.set_trial_intermediate_value(claim.trial_id, epoch, value)
        return self._study.pruner.prune(self._study, self._storage.get_trial(claim.trial_id))

    def complete(self, claim: Claim, values: Mapping[int, float], epochs: Mapping[int, int]) -> None:
        """Finish a trial with the validation and the epochs of each of its seeds."""
        mean = sum(values.values()) / len(values)
        self._note(claim, values=_by_text(values), epochs=_by_text(epochs))
        self._finish(claim, "COMPLETE", [mean])

    def prune(self, claim: Claim, epochs: Mapping[int, int]) -> None:
        """Finish a trial that is not worth going on with."""
        self._note(claim, epochs=_by_text(epochs))
        self._finish(claim, "PRUNED")

    def fail(self, claim: Claim, reason: str) -> None:
        """Finish a trial that cannot be trained; it is not tried again."""
        self._note(claim, reason=reason)
        self._finish(claim, "FAIL")

    def _stored(self) -> list["FrozenTrial"]:
        return sorted(self._storage.get_all_trials(self._id), key=lambda trial: trial.number)

    def _note(self, claim: Claim, **values: Any) -> None:  # Any: JSON values
        for name, value in values.items():
            self._storage.set_trial_user_attr(claim.trial_id, name, value)

    def _finish(self, claim: Claim, state: str, values: Sequence[float] | None = None) -> None:
        import optuna  # an extra

        self._storage.set_trial_state_values(claim.trial_id, optuna.trial.TrialState[state], values)

    def _try_lock(self, number: int) -> "BaseFileLock | None":
        """The lock of a trial, unless another process has it."""
        from filelock import FileLock, Timeout  # an extra

        self._locks.mkdir(exist_ok=True)
        lock = FileLock(self._locks / f"{number:04d}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock


def _pruner(name: PrunerName, epochs: int) -> Any:
    import optuna  # an extra

    if name == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=min(_WARMUP, epochs // 10))


def _by_text(values: Mapping[int, float] | Mapping[int, int]) -> dict[str, float]:
    return {str(seed): value for seed, value in values.items()}


def _trial(stored: "FrozenTrial") -> Trial:
    notes, seen = stored.user_attrs, stored.intermediate_values.values()
    state = _STATES[stored.state.name]
    return Trial(
        number=stored.number,
        state=state,
        parameters=decode(stored.params),
        value=stored.value if state == "complete" else max(seen, default=None) if state == "pruned" else None,
        values={int(seed): float(value) for seed, value in notes.get("values", {}).items()},
        epochs={int(seed): int(count) for seed, count in notes.get("epochs", {}).items()},
        reason=notes.get("reason"),
    )
