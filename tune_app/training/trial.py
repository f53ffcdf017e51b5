"""One trial as a worker runs it: a `TrialSpec` in, a report per epoch out.

Both engines, Ray's workers and the inline loop, run this class, so they record the same. torch is loaded for
a Task only: a function may do without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tune_app.errors import TaskError
from tune_app.stopping.rules import Patience
from tune_app.sweep import code
from tune_app.sweep.configurations import PATIENCE, usable
from tune_app.sweep.events import Saved, Values
from tune_app.sweep.opened_folder import verify
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks import task as tasks
from tune_app.tasks.isolation import TaskExited, set_numerics
from tune_app.tasks.task import FunctionTask, Splits, Task
from tune_app.training import checkpoint
from tune_app.training.output import Output
from tune_app.training.protocol import SAVE_NOW, EpochReport, Failure, TestOutcome
from tune_app.training.replicates import FunctionReplicates, Metrics, Replicates, Stopwatch

if TYPE_CHECKING:
    from tune_app.training.device_data import DeviceSplits

#: The most bytes of a checkpoint that travel in a report.
LARGEST_CARRIED = 256 << 20


class Worker:
    """What a process keeps between trials: its device, and the data on that."""

    def __init__(self, splits: Splits | None, device: str) -> None:
        self.device = device
        self.data: DeviceSplits | None = None
        if splits:
            from tune_app.training.device_data import DeviceSplits

            self.data = DeviceSplits.load(splits, device)

    @cached_property
    def extent(self) -> tuple[float, float] | None:
        """The smallest and the largest number in the training inputs; None where torch cannot say."""
        if self.data is None:
            return None
        try:
            low, high = self.data.train.x.aminmax()
        except RuntimeError:  # of a type that torch only moves around
            return None
        return float(low), float(high)


class Trial:
    """A trial that is being trained on a worker."""

    def __init__(self, spec: TrialSpec, worker: Worker) -> None:
        self._spec, self._worker = spec, worker
        settings = spec.settings
        #: Why the replicates are not stacked though the sweep's are; empty where they are.
        self._looped = ""
        task = tasks.load(settings.task)
        numerics = partial(set_numerics, settings.numerics.threads, settings.numerics.precision)
        #: The context in which the task's code runs: what it draws and sets stays there.
        self._code = tasks.code(settings.task, settings.seed, numerics)
        with self._code:
            self._replicates = self._make(task, worker)
        self._clock = checkpoint.Clock(settings.checkpoint_every_s)
        self._folder = Path(spec.files.checkpoints)
        self._savable = bool(spec.files.checkpoints) and self._replicates.savable
        self._files: dict[str, bytes] = {}
        self._too_large_bytes = 0
        self._other_code: Mapping[str, Any] | None = None
        self._patience = [Patience.of(settings) for _ in spec.replicates]
        if spec.start:
            self._resume(spec.start)

    def _resume(self, start: Saved) -> None:
        """Load the checkpoint, and end the replicates whose patience was exhausted before it."""
        spec = self._spec
        file, sent = self._folder / start.file, spec.files.content
        content = checkpoint.load(sent if sent is not None else file, str(file))
        verify(file)  # it may have been another run's
        with self._code:
            self._replicates.load(checkpoint.select(content, "state", spec.replicates))
            for place, (patience, reported) in enumerate(zip(self._patience, spec.reported, strict=False)):
                values = ((epoch, value) for epoch, value in reported if value is not None)
                if patience and any(patience.exhausted(epoch, value) for epoch, value in values):
                    self._replicates.end(place, PATIENCE)

    def _make(self, task: Task | FunctionTask, worker: Worker) -> Replicates:
        spec = self._spec
        if not isinstance(task, Task):
            return FunctionReplicates(spec, task, worker.device)
        if worker.data is None:
            raise TaskError(f"the task {spec.settings.task} needs data, and none was given")
        from tune_app.training.stacking_check import why_not_stackable
        from tune_app.training.task_replicates import Looped, Stacked

        if spec.settings.numerics.replicates != "stacked" or len(spec.replicates) == 1:
            return Looped(spec, task, worker.data)
        self._looped = why_not_stackable(spec, task, worker.data) or ""
        return (Looped if self._looped else Stacked)(spec, task, worker.data)

    def step(self, save_now: bool = False) -> EpochReport:
        """Train one epoch; after the last one, look at the test set, once.

        Args:
            save_now: write a checkpoint after it, due or not.

        Raises:
            TaskError: an epoch without the metric that the space names.
        """
        with self._code:
            return self._step(save_now)

    def _step(self, save_now: bool) -> EpochReport:
        spec, replicates = self._spec, self._replicates
        each = replicates.all
        found = replicates.step() if self._live() else []
        self._files = {}
        for place in self._live() if found else ():
            self._check(found[place])
            self._apply_patience(place, found[place])
        done = replicates.epoch >= spec.target or not self._live()
        saved = self._save(done, save_now)
        tested, weights = done and spec.tested, None
        if tested and spec.settings.keep == "best" and self._savable:
            weights = self._write("weights", replicates.weights())
        return EpochReport(
            epoch=replicates.epoch,
            metrics=_by_name(found),
            durations_s=[r.duration_s for r in each],
            diverged={r.number: r.epoch for r in each if r.diverged},
            why={r.number: r.diverged for r in each if r.diverged},
            ended={r.number: (r.epoch, r.ended) for r in each if r.ended},
            done=done,
            test=_test_outcome(replicates) if tested else None,
            saved=saved,
            savable=self._savable and not self._too_large_bytes,
            weights=weights,
            files=self._files,
            too_large_bytes=self._too_large_bytes,
            looped=self._looped,
            code=self._unrecorded_code(done),
        )

    def _live(self) -> list[int]:
        """The places of the replicates that are still trained."""
        return [place for place, each in enumerate(self._replicates.all) if each.live]

    def _check(self, found: Metrics) -> None:
        """A replicate that was trained must report the metrics that rank or stop configurations."""
        settings = self._spec.settings
        for name, _ in (*settings.metrics, settings.stop_metric):
            if name not in found:
                raise TaskError(
                    f'the metric "{name}" is missing from epoch {self._replicates.epoch}; '
                    f"reported were: {', '.join(found) or 'none'}"
                )

    def _apply_patience(self, place: int, found: Metrics) -> None:
        """End a replicate that has converged, unless this was its last epoch anyway."""
        patience, epoch = self._patience[place], self._replicates.epoch
        converged = patience and patience.exhausted(epoch, found[self._spec.settings.stop_metric[0]])
        if converged and epoch < self._spec.target:
            self._replicates.end(place, PATIENCE)

    def _unrecorded_code(self, done: bool) -> Mapping[str, Any]:
        """The code of this process that the spec does not name, found at the first epoch and at the end.

        A task may import modules within functions, while it trains.
        """
        spec, before = self._spec, self._other_code
        if spec.code is None or (before is not None and not done):
            return {}
        self._other_code = code.unrecorded(spec.settings.task, spec.code)
        return {} if self._other_code == before else self._other_code

    def close(self) -> None:
        """Close what the task holds open; called once, whatever ended the trial."""
        with self._code:
            self._replicates.close()

    def contents(self) -> tuple[Any, Any]:
        """The states and the weights as checkpoints would hold them now; None for a task without."""
        replicates = self._replicates
        with self._code:
            return (replicates.state(), replicates.weights()) if replicates.savable else (None, None)

    def _save(self, done: bool, save_now: bool) -> Saved | None:
        """Write a checkpoint if one is due or requested; at the end only if last states are kept."""
        if not self._savable:
            return None
        at_rung = self._replicates.epoch in self._spec.settings.rungs
        asked = self._clock.due() or save_now or at_rung or (self._folder / SAVE_NOW).exists()
        if not (self._spec.settings.keep == "last" if done else asked):
            return None
        watch = Stopwatch()
        saved = self._write("state", self._replicates.state())
        self._clock.wrote(watch.seconds())
        return saved

    def _write(self, what: str, states: list[Any]) -> Saved | None:
        spec, worker, epoch = self._spec, self._worker, self._replicates.epoch
        shape = list(worker.data.train.x.shape[1:]) if worker.data else []
        content = {"epoch": epoch, "replicates": list(spec.replicates), "shape": shape, what: states}
        content["extent"] = worker.extent
        name = f"{spec.sample}-{spec.replicates[0]}-{epoch:06d}-{what}.pt"
        if not spec.files.gather:
            return checkpoint.save(self._folder, name, content, epoch)
        data = checkpoint.serialize(content)
        if len(data) > LARGEST_CARRIED:
            self._too_large_bytes = len(data)
            return None
        self._files[name] = data
        return checkpoint.saved_as(name, data, epoch)


class GuardedTrial:
    """A trial as an engine runs it: its steps return a report or a failure, and raise nothing.

    Args:
        spec: what to train.
        worker: gives the process's worker. If making it raises, the trial has failed.
    """

    def __init__(self, spec: TrialSpec, worker: Callable[[], Worker]) -> None:
        self._spec, self._worker = spec, worker
        self._trial: Trial | None = None
        self._output = Output(Path(spec.files.output) if spec.files.output else None)
        self._watched = spec.files.opened.watched if spec.files.opened else nullcontext

    def step(self, save_now: bool = False) -> EpochReport | Failure:
        """Train one epoch; see ``Trial.step``. After a failure there is nothing more to train."""
        with self._watched(), self._output.redirected():
            result = self._step(save_now)
        return replace(result, output=self._output.take())

    def _step(self, save_now: bool) -> EpochReport | Failure:
        try:
            if self._trial is None:
                self._trial = Trial(self._spec, self._worker())
            return self._trial.step(save_now)
        except Exception as error:  # noqa: BLE001 - whatever the user's task raises
            return Failure.of(error)
        except KeyboardInterrupt as error:  # the task's own: signals are handled without one
            return Failure.of(TaskExited(error).with_traceback(error.__traceback__))

    def close(self) -> None:
        """Close what the task holds open, whatever ended the trial."""
        if self._trial is None:
            return
        with self._watched():
            with self._output.redirected():  # the driver has closed the log by now; readers add this to it
                self._trial.close()
            self._trial = None
            self._output.remove()


def _test_outcome(replicates: Replicates) -> TestOutcome:
    outcomes = replicates.test()
    shape = next((outcome.scores.shape for outcome in outcomes if outcome), (0,))
    rows = np.stack([outcome.scores if outcome else np.full(shape, np.nan) for outcome in outcomes])
    return TestOutcome(
        _by_name([outcome.metrics if outcome else {} for outcome in outcomes]),
        [each.evaluated for each in replicates.all],
        rows.astype("<f4").tobytes() if rows.size else b"",
        rows.shape if rows.size else (),
    )


def _by_name(found: list[Metrics]) -> Values:
    """R mappings of metrics to one list a metric; None where a replicate has none that is usable."""
    names: Mapping[str, None] = {name: None for each in found for name in each}
    return {name: [value if usable(value := each.get(name)) else None for each in found] for name in names}
