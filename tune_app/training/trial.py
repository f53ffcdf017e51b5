"""One trial as a worker runs it: a `TrialSpec` in, a report per epoch out.

Both engines, Ray's workers and the inline loop, run this class, so they record the same. torch is loaded for
a Task only: a function may do without.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tune_app.errors import TaskError
from tune_app.stopping.patience import Patience
from tune_app.sweep import code
from tune_app.sweep.configurations import PATIENCE, TASK
from tune_app.sweep.evaluation import usable
from tune_app.sweep.events import Saved, Values
from tune_app.sweep.opened_folder import verify
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks import task as tasks
from tune_app.tasks.isolation import set_numerics
from tune_app.tasks.task import FunctionTask, Splits, Task
from tune_app.training import checkpoint
from tune_app.training.function_replicates import FunctionReplicates
from tune_app.training.protocol import SAVE_NOW, EpochReport, TestOutcome
from tune_app.training.replicates import Metrics, Replicates, Stopwatch

if TYPE_CHECKING:
    from tune_app.training.learner import DeviceSplits

#: The most bytes of a checkpoint that travel in a report.
LARGEST_CARRIED = 256 << 20


class Worker:
    """What a process keeps between trials: its device, and the data on that."""

    def __init__(self, splits: Splits | None, device: str) -> None:
        self.device = device
        self.data = _on_device(splits, device) if splits else None

    @cached_property
    def extent(self) -> tuple[float, float] | None:
        """The smallest and the largest number in the training inputs; None where torch cannot say."""
        try:
            low, high = self.data.train.x.aminmax() if self.data else (None, None)
        except RuntimeError:  # of a type that torch only moves around
            return None
        return None if low is None or high is None else (float(low), float(high))


class Trial:
    """A trial that is being trained on a worker."""

    def __init__(self, spec: TrialSpec, worker: Worker) -> None:
        self._spec = spec
        settings = spec.settings
        #: Why the replicates are not stacked though the sweep's are; empty where they are.
        self._looped = ""
        task = tasks.load(settings.task)
        numerics = partial(set_numerics, settings.numerics.threads, settings.numerics.precision)
        #: The context in which the task's code runs: what it draws and sets stays there.
        self._code = tasks.code(settings.task, settings.seed, numerics)
        with self._code:
            self._replicates = self._make(task, worker)
        self._worker = worker
        self._shape = list(worker.data.train.x.shape[1:]) if worker.data else []
        self._clock = checkpoint.Clock(settings.checkpoint_every_s)
        self._folder = Path(spec.files.checkpoints)
        self._files: dict[str, bytes] = {}
        self._too_large_bytes = 0
        self._other_code: Mapping[str, Any] | None = None
        self._patience = [Patience.of(settings) for _ in spec.replicates]
        #: The places of the replicates that patience has ended.
        self._converged: set[int] = set()
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
            for place, reported in enumerate(spec.reported):
                patience = self._patience[place]
                if patience and any(
                    patience.exhausted(epoch, value) for epoch, value in reported if value is not None
                ):
                    self._converge(place)

    def _make(self, task: Task | FunctionTask, worker: Worker) -> Replicates:
        spec = self._spec
        if not isinstance(task, Task):
            return FunctionReplicates(spec, task, worker.device)
        if worker.data is None:
            raise TaskError(f"the task {spec.settings.task} needs data, and none was given")
        from tune_app.training.looped import Looped
        from tune_app.training.stacked import Stacked
        from tune_app.training.stacking_check import why_not_stackable

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
        found = replicates.step() if self._live() else []
        self._files = {}
        self._check(found)
        self._apply_patience(found)
        done = replicates.epoch >= spec.target or not self._live()
        saved = self._save(done, save_now)
        weights = self._save_weights() if done and spec.tested else None
        diverged = self._by_replicate(replicates.diverged())
        return EpochReport(
            epoch=replicates.epoch,
            metrics=_by_name(found),
            durations_s=list(replicates.durations_s),
            diverged=diverged,
            why={r: replicates.why(spec.replicates.index(r)) for r in diverged},
            ended={
                r: (at, PATIENCE if spec.replicates.index(r) in self._converged else TASK)
                for r, at in self._by_replicate(replicates.ended()).items()
            },
            done=done,
            test=_test_outcome(replicates) if done and spec.tested else None,
            saved=saved,
            savable=self._can_save() and not self._too_large_bytes,
            weights=weights,
            files=self._files,
            too_large_bytes=self._too_large_bytes,
            looped=self._looped,
            code=self._unrecorded_code(done),
        )

    def _unrecorded_code(self, done: bool) -> Mapping[str, Any]:
        """The code of this process that the spec does not name, found at the first epoch and at the end.

        A task may import modules within functions, while it trains.
        """
        if self._spec.code is None or (self._other_code is not None and not done):
            return {}
        before, self._other_code = (
            self._other_code,
            code.unrecorded(self._spec.settings.task, self._spec.code),
        )
        return {} if self._other_code == before else self._other_code

    def _live(self) -> list[int]:
        """The places of the replicates that are still trained."""
        states = zip(self._replicates.diverged(), self._replicates.ended(), strict=True)
        return [place for place, (gone, ended) in enumerate(states) if gone is None and ended is None]

    def _by_replicate(self, epochs: list[int | None]) -> dict[int, int]:
        return {r: at for r, at in zip(self._spec.replicates, epochs, strict=True) if at is not None}

    def _apply_patience(self, found: list[Metrics]) -> None:
        """End the replicates that have converged, unless this was their last epoch anyway."""
        metric, _ = self._spec.settings.stop_metric
        for place in self._live() if found else ():
            patience = self._patience[place]
            converged = patience and patience.exhausted(self._replicates.epoch, found[place][metric])
            if converged and self._replicates.epoch < self._spec.target:
                self._converge(place)

    def _converge(self, place: int) -> None:
        self._converged.add(place)
        self._replicates.end(place)

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
        replicates = self._replicates
        if not self._can_save():
            return None
        asked = self._clock.due() or save_now or (self._folder / SAVE_NOW).exists()
        if not (self._spec.settings.keep == "last" if done else asked):
            return None
        watch = Stopwatch()
        states = replicates.state()
        saved = self._write("state", states)
        self._clock.wrote(watch.seconds())
        return saved

    def _save_weights(self) -> Saved | None:
        """Write the weights that were tested, if the space keeps the best ones only."""
        if self._spec.settings.keep != "best" or not self._can_save():
            return None
        return self._write("weights", self._replicates.weights())

    def _can_save(self) -> bool:
        return bool(self._spec.files.checkpoints) and self._replicates.savable

    def _write(self, what: str, states: list[Any]) -> Saved | None:
        spec, epoch = self._spec, self._replicates.epoch
        content = {"epoch": epoch, "replicates": list(spec.replicates), "shape": self._shape, what: states}
        content["extent"] = self._worker.extent
        name = f"{spec.sample}-{spec.replicates[0]}-{epoch:06d}-{what}.pt"
        if not spec.files.gather:
            return checkpoint.save(self._folder, name, content, epoch)
        data = checkpoint.serialize(content)
        if len(data) > LARGEST_CARRIED:
            self._too_large_bytes = len(data)
            return None
        self._files[name] = data
        return checkpoint.saved_as(name, data, epoch)

    def _check(self, found: list[Metrics]) -> None:
        """Each replicate that was trained must report the metrics that rank configurations."""
        for place in self._live() if found else ():
            for name, _ in self._spec.settings.metrics:
                if name not in found[place]:
                    raise TaskError(
                        f'the metric "{name}" is missing from epoch {self._replicates.epoch}; '
                        f"reported were: {', '.join(found[place]) or 'none'}"
                    )


def _on_device(splits: Splits, device: str) -> DeviceSplits:
    from tune_app.training.learner import DeviceSplits

    return DeviceSplits.load(splits, device)


def _test_outcome(replicates: Replicates) -> TestOutcome:
    outcomes = replicates.test()
    shape = next((outcome.scores.shape for outcome in outcomes if outcome), (0,))
    rows = np.stack([outcome.scores if outcome else np.full(shape, np.nan) for outcome in outcomes])
    return TestOutcome(
        _by_name([outcome.metrics if outcome else {} for outcome in outcomes]),
        replicates.evaluated(),
        rows.astype("<f4").tobytes() if rows.size else b"",
        rows.shape if rows.size else (),
    )


def _by_name(found: list[Metrics]) -> Values:
    """R mappings of metrics to one list a metric; None where a replicate has none that is usable."""
    names: Mapping[str, None] = {name: None for each in found for name in each}
    return {name: [value if usable(value := each.get(name)) else None for each in found] for name in names}
