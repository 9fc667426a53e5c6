"""The loop with an objective that is neither a recommender nor an encoder."""

import json
import re
import signal
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from alignrec.errors import TrainingError
from alignrec.training.checkpoint import load_checkpoint
from alignrec.training.journal import RunFiles
from alignrec.training.loop import Job, LoopSettings, run_loop
from alignrec.training.schedule import exponential


class Line(torch.nn.Module):
    """Fits y = 2x; the batch is a tensor of x."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"fit": (self.slope * x - 2 * x).square().mean(), "size": 1e-6 * self.slope.square()}


class Batches:
    def steps(self) -> int:
        return 5

    def epoch(self, epoch: int):
        return (torch.full((3,), float(epoch % 3 + step)) for step in range(1, 6))


def job(model: Line, **changed) -> Job:
    values = {
        "objective": model,
        "source": Batches(),
        "optimizer": torch.optim.Adam(model.parameters(), lr=0.1),
        "schedule": exponential(1.0, 1),
        "validate": lambda _epoch: {"closeness": -abs(float(model.slope.detach()) - 2)},
        **changed,
    }
    return Job(**values)


SETTINGS = LoopSettings(epochs=30, metric="closeness", patience=50)


def test_minimises_the_sum_of_the_terms() -> None:
    model = Line()
    result = run_loop(job(model), SETTINGS, seed=0)
    assert float(model.slope.detach()) == pytest.approx(2.0, abs=0.02)
    assert result.history[-1]["loss"]["fit"] < 0.01 * result.history[0]["loss"]["fit"]


def test_epochs_are_announced_in_order_before_their_batches() -> None:
    announced = []
    run_loop(job(Line(), start_epoch=announced.append), LoopSettings(epochs=3, metric="closeness"), seed=0)
    assert announced == [1, 2, 3]


def test_validates_only_when_due_and_always_at_the_end() -> None:
    settings = LoopSettings(epochs=7, metric="closeness", validate_every=3)
    result = run_loop(job(Line()), settings, seed=0)
    assert [entry["epoch"] for entry in result.history if "valid" in entry] == [3, 6, 7]


def test_the_loss_of_an_epoch_is_the_mean_over_its_steps() -> None:
    model = Line()
    still = torch.optim.SGD(model.parameters(), lr=0.0)
    result = run_loop(job(model, optimizer=still), LoopSettings(epochs=1, metric="closeness"), seed=0)
    expected = sum((2 * x) ** 2 for x in (2, 3, 4, 5, 6)) / 5  # the batches of epoch 1, and a slope of 0
    assert result.history[0]["loss"] == {"fit": expected, "size": 0.0, "total": expected}


def test_the_rate_in_the_log_is_that_of_the_epochs_beginning() -> None:
    settings = LoopSettings(epochs=3, metric="closeness")
    result = run_loop(job(Line(), schedule=exponential(0.5, 1)), settings, seed=0)
    assert [entry["lr"] for entry in result.history] == [0.1, 0.05, 0.025]


def test_a_run_that_patience_ended_is_not_trained_again(tmp_path: Path) -> None:
    settings, files = LoopSettings(epochs=30, metric="closeness", patience=2), RunFiles(tmp_path)
    first, again = (
        run_loop(job(Line(), validate=lambda _epoch: {"closeness": 0.0}), settings, seed=0, files=files)
        for _ in range(2)
    )
    assert (first.status, first.epochs) == (again.status, again.epochs) == ("patience", 4)
    assert len((tmp_path / "timing.jsonl").read_text().splitlines()) == 4
    assert load_checkpoint(files.checkpoint).epoch == 4


@pytest.mark.parametrize(("epoch", "status"), [(2, "interrupted"), (4, "epochs")])
def test_ctrl_c_ends_the_run_after_its_epoch_and_it_goes_on_from_there(epoch: int, status: str, tmp_path: Path) -> None:
    settings, whole, model = LoopSettings(epochs=4, metric="closeness", keep="last"), Line(), Line()
    run_loop(job(whole), settings, seed=0)

    def pressed(number: int) -> None:
        if number == epoch:
            signal.raise_signal(signal.SIGINT)

    stopped = run_loop(job(model, start_epoch=pressed), settings, seed=0, files=RunFiles(tmp_path))
    assert (stopped.status, stopped.epochs) == (status, epoch)
    again = Line()
    assert run_loop(job(again), settings, seed=0, files=RunFiles(tmp_path)).epochs == 4
    assert torch.equal(again.slope, whole.slope)


def test_the_log_on_disk_is_the_history(tmp_path: Path) -> None:
    result = run_loop(job(Line()), LoopSettings(epochs=4, metric="closeness"), seed=0, files=RunFiles(tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == result.history
    assert len((tmp_path / "timing.jsonl").read_text().splitlines()) == 4


def test_going_on_from_a_checkpoint_is_the_same_as_never_having_stopped(tmp_path: Path) -> None:
    whole = Line()
    run_loop(job(whole), SETTINGS, seed=0)
    files = RunFiles(tmp_path)

    class PowerError(Exception):
        pass

    def fails_in_epoch_eleven(epoch: int) -> None:
        if epoch == 11:
            raise PowerError

    settings = SETTINGS.model_copy(update={"checkpoint_seconds": 0.0})
    with pytest.raises(PowerError):
        run_loop(job(Line(), start_epoch=fails_in_epoch_eleven), settings, seed=0, files=files)
    resumed = Line()
    result = run_loop(job(resumed), settings, seed=0, files=files)
    assert torch.equal(resumed.slope, whole.slope)
    assert len(result.history) == 30


def test_a_loss_that_overflows_is_an_error_naming_epoch_step_and_term(tmp_path: Path) -> None:
    model = Line()
    with torch.no_grad():
        model.slope.fill_(1e30)
    with pytest.raises(TrainingError, match="loss term fit, size is not finite in epoch 1, step 1"):
        run_loop(job(model), SETTINGS, seed=0, files=RunFiles(tmp_path))


def test_a_validation_value_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(TrainingError, match="validation closeness is nan in epoch 1"):
        run_loop(job(Line(), validate=lambda _epoch: {"closeness": float("nan")}), SETTINGS, seed=0)


def test_the_last_weights_stay_when_asked_for() -> None:
    values = iter([3.0, 1.0])
    slopes = []

    def validate(_epoch: int) -> dict[str, float]:
        slopes.append(float(model.slope.detach()))
        return {"closeness": next(values)}

    model = Line()
    run_loop(job(model, validate=validate), SETTINGS.model_copy(update={"epochs": 2, "keep": "last"}), seed=0)
    assert float(model.slope.detach()) == slopes[1] != slopes[0]


def test_where_the_last_weights_stay_no_others_are_kept(tmp_path: Path) -> None:
    files = RunFiles(tmp_path)
    settings = SETTINGS.model_copy(update={"epochs": 2, "keep": "last"})
    run_loop(job(Line(), validate=lambda _epoch: {"closeness": 1.0}), settings, seed=0, files=files)
    assert not load_checkpoint(files.checkpoint).best_weights


def test_a_long_gradient_is_scaled_to_the_clip() -> None:
    """Plain gradient descent moves by rate x norm of the gradient, so a step shows the norm."""
    model = Line()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)

    class OneStep(Batches):
        def steps(self) -> int:
            return 1

        def epoch(self, epoch: int):
            return [torch.full((3,), 100.0)]

    settings = LoopSettings(epochs=1, metric="closeness", gradient_clip=0.25)
    run_loop(job(model, optimizer=optimizer, source=OneStep()), settings, seed=0)
    assert float(model.slope.detach()) == pytest.approx(0.25, rel=1e-4)


def test_the_rate_is_set_before_every_step() -> None:
    model, seen = Line(), []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    optimizer.register_step_pre_hook(lambda opt, _args, _kwargs: seen.append(opt.param_groups[0]["lr"]))
    run_loop(
        job(model, optimizer=optimizer, schedule=lambda done: 1 - done / 2),
        LoopSettings(epochs=2, metric="closeness"),
        seed=0,
    )
    assert seen == pytest.approx([0.1 * (1 - step / 10) for step in range(10)])


class Points:
    """One epoch: the numbers 1 to `count` in batches of `size`, the last one shorter."""

    def __init__(self, size: int, count: int = 10) -> None:
        self._size, self._count = size, count

    def steps(self) -> int:
        return -(-self._count // self._size)

    def epoch(self, epoch: int):
        return torch.arange(1.0, self._count + 1).split(self._size)


@pytest.mark.parametrize("clip", [None, 0.5])
def test_batches_that_share_a_step_train_as_one_large_batch(clip: float | None) -> None:
    """2 + 2 + 2 and 2 + 1 items against 6 and 3: a mean over items is the same."""
    models = []
    for size, share in ((2, 3), (6, 1)):
        models.append(Line())
        settings = LoopSettings(epochs=3, metric="closeness", accumulate=share, gradient_clip=clip)
        result = run_loop(job(models[-1], source=Points(size, 9)), settings, seed=0)
        models[-1].history = [line["loss"] for line in result.history]
    torch.testing.assert_close(models[0].slope, models[1].slope, rtol=1e-6, atol=0)
    for few, one in zip(models[0].history, models[1].history, strict=True):
        assert few == pytest.approx(one, rel=1e-5)


def test_the_optimiser_and_the_schedule_count_steps_and_not_batches() -> None:
    model, seen = Line(), []
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    optimizer.register_step_pre_hook(lambda opt, _args, _kwargs: seen.append(opt.param_groups[0]["lr"]))
    settings = LoopSettings(epochs=1, metric="closeness", accumulate=4)
    run_loop(job(model, source=Points(1), optimizer=optimizer, schedule=lambda done: 1 - done), settings, seed=0)
    assert seen == pytest.approx([0.1, 0.1 * 2 / 3, 0.1 / 3])  # 4 + 4 + 2 of ten batches


def test_a_source_at_work_is_stopped_when_a_step_fails() -> None:
    ended = []

    class Worker(Batches):
        def epoch(self, epoch: int):
            try:
                yield torch.full((3,), float("nan"))
                yield torch.ones(3)
            finally:
                ended.append(epoch)

    with pytest.raises(TrainingError) as error:
        run_loop(job(Line(), source=Worker()), SETTINGS, seed=0)
    assert ended == [1], error  # although the error still holds the frames in which the source lives


class Terminal:
    """Keeps what the bar was told."""

    def __init__(self) -> None:
        self.done, self.texts, self.notes = 0, [], []

    def advance(self, steps: int = 1, text: str | None = None) -> None:
        self.done += steps
        self.texts.append(text)

    def note(self, line: str) -> None:
        self.notes.append(line)


def test_a_terminal_shows_step_and_speed_beside_the_last_epochs_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("alignrec.training.loop.progress_bar", lambda *_: nullcontext(terminal))
    settings = LoopSettings(epochs=2, metric="closeness")
    kept = lambda line: f"epoch {line['epoch']}" if line["epoch"] == 2 else None  # noqa: E731
    run_loop(job(Line(), note=kept, unit="points"), settings, seed=0)
    assert terminal.done == 2
    assert terminal.notes == ["epoch 2"]
    assert re.fullmatch(r"step 2/5 [\d,]+ points/s", terminal.texts[1])
    shown = r"fit \d+\.\d{4} size 0\.0000 total \d+\.\d{4} \| closeness -\d\.\d{4} best -\d\.\d{4} @ 1"
    assert re.fullmatch(shown, terminal.texts[5])
    assert re.fullmatch(r"step 1/5 [\d,]+ points/s \| " + shown, terminal.texts[6])


def test_what_watches_epochs_sees_each_line_once_it_is_on_disk(tmp_path: Path) -> None:
    files, seen = RunFiles(tmp_path), []

    def watch(line) -> None:
        seen.append((line, json.loads(files.metrics.read_text().splitlines()[-1])))

    run_loop(job(Line(), after_epoch=watch), LoopSettings(epochs=3, metric="closeness"), seed=0, files=files)
    assert [line["epoch"] for line, _ in seen] == [1, 2, 3]
    assert all(line == written for line, written in seen)


def test_a_run_that_a_watcher_ended_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    class EnoughError(Exception):
        pass

    def stop(line) -> None:
        if line["epoch"] == 2:
            raise EnoughError

    settings, files = LoopSettings(epochs=5, metric="closeness", checkpoint_seconds=0), RunFiles(tmp_path)
    straight, broken = Line(), Line()
    run_loop(job(straight), settings, seed=0)
    with pytest.raises(EnoughError):
        run_loop(job(Line(), after_epoch=stop), settings, seed=0, files=files)
    run_loop(job(broken), settings, seed=0, files=files)
    assert torch.equal(straight.slope, broken.slope)
