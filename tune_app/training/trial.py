"""One trial as a worker runs it: an order in, a report an epoch out. No engine in here.

Both engines, Ray's workers and the inline loop, run this same class, so the same record comes out. torch is
loaded for a Task; a function that does without is not made to wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tune_app.errors import TaskError
from tune_app.sweep import code
from tune_app.sweep.evaluation import usable
from tune_app.sweep.events import Saved, Values
from tune_app.sweep.history import PATIENCE, TASK
from tune_app.sweep.opened_folder import verify
from tune_app.tasks import task as tasks
from tune_app.tasks.isolation import set_numerics
from tune_app.tasks.task import FunctionTask, Splits, Task
from tune_app.training import checkpoint
from tune_app.training.protocol import SAVE_NOW, Order, Report, Sealed
from tune_app.training.replicates import Generated, Metrics, Replicates, Stopwatch

if TYPE_CHECKING:
    from tune_app.training.learner import DeviceSplits
    from tune_app.training.looped import Looped
    from tune_app.training.stacked import Stacked

#: The most bytes of a checkpoint that travel in a report.
LARGEST_CARRIED = 256 << 20


class Worker:
    """What a process keeps between trials: its device, and the data on it."""

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
    """A job being trained on a worker."""

    def __init__(self, order: Order, worker: Worker) -> None:
        self._order = order
        #: Why the replicates are not stacked though the sweep's are; empty where they are.
        self._looped = ""
        task = tasks.load(order.task)
        numerics = partial(set_numerics, order.numerics.threads, order.numerics.precision)
        #: Where the task's code runs: what it draws and sets stays in there.
        self._code = tasks.code(order.task, order.seed, numerics)
        with self._code:
            self._replicates = self._make(task, worker)
        self._worker = worker
        self._shape = list(worker.data.train.x.shape[1:]) if worker.data else []
        self._clock = checkpoint.Clock(order.checkpoint_every_s)
        self._folder = Path(order.checkpoints)
        self._files: dict[str, bytes] = {}
        self._too_large = 0
        self._departed: Mapping[str, Any] | None = None
        self._patience = [replace(order.patience) if order.patience else None for _ in order.job.replicates]
        #: The places of the replicates that patience has ended.
        self._converged: set[int] = set()
        if order.job.start:
            file = self._folder / order.job.start.file
            content = checkpoint.load(order.content if order.content is not None else file, str(file))
            verify(file)  # it may have been another run's
            with self._code:
                self._replicates.load(checkpoint.of(content, "state", order.job.replicates))
                for place, seen in enumerate(order.seen):
                    patience = self._patience[place]
                    if patience and any(
                        patience.exhausted(at, value) for at, value in seen if value is not None
                    ):
                        self._converged.add(place)
                        self._replicates.end(place)

    def _make(self, task: Task | FunctionTask, worker: Worker) -> Replicates:
        order, job = self._order, self._order.job
        keep_best = None
        if order.evaluate == "best":
            keep_best = (order.metric, 1 if order.mode == "max" else -1)
        if not isinstance(task, Task):
            return Generated(
                task,
                job.config,
                order.seed,
                job.replicates,
                order.epochs,
                worker.device,
                keep_best,
                (order.metric, *order.others, order.stop_metric or order.metric),
            )
        if worker.data is None:
            raise TaskError(f"the task {order.task} needs data, and none was given")
        return self._of_task(task, worker.data)(
            task,
            job.config,
            worker.data,
            order.seed,
            job.replicates,
            order.epochs,
            keep_best,
            order.numerics.precision,
        )

    def _of_task(self, task: Task, data: DeviceSplits) -> type[Looped] | type[Stacked]:
        """What trains this job: by the sweep's numerics, as far as its configuration can be stacked."""
        from tune_app.training.looped import Looped
        from tune_app.training.stacked import Stacked
        from tune_app.training.stacking_check import stackable

        job, numerics = self._order.job, self._order.numerics
        if numerics.replicates != "stacked" or len(job.replicates) == 1:
            return Looped
        self._looped = stackable(task, job.config, data, numerics.precision) or ""
        return Looped if self._looped else Stacked

    def step(self, save_now: bool = False) -> Report:
        """Train one epoch; with the last one the test set is looked at, once.

        Args:
            save_now: write a checkpoint after it, due or not.

        Raises:
            TaskError: an epoch without the metric that the space names.
        """
        with self._code:
            return self._step(save_now)

    def _step(self, save_now: bool) -> Report:
        replicates, order = self._replicates, self._order
        found = replicates.step() if self._live() else []
        self._files = {}
        self._check(found)
        self._lose_patience(found)
        done = replicates.epoch >= order.job.epochs or not self._live()
        saved = self._save(done, save_now)
        weights = self._save_weights() if done and order.job.tested else None
        diverged = self._by_replicate(replicates.diverged())
        return Report(
            epoch=replicates.epoch,
            metrics=_by_name(found),
            durations_s=list(replicates.durations_s),
            diverged=diverged,
            why={r: replicates.why(order.job.replicates.index(r)) for r in diverged},
            ended={
                r: (at, PATIENCE if order.job.replicates.index(r) in self._converged else TASK)
                for r, at in self._by_replicate(replicates.ended()).items()
            },
            done=done,
            sealed=_seal(replicates) if done and order.job.tested else None,
            saved=saved,
            savable=replicates.savable and bool(order.checkpoints) and not self._too_large,
            weights=weights,
            files=self._files,
            too_large=self._too_large,
            looped=self._looped,
            code=self._departures(done),
        )

    def _departures(self, done: bool) -> Mapping[str, Any]:
        """What code this process has that the order does not name: asked at the first epoch and at the end.

        Modules may be imported within functions, while it trains.
        """
        if self._order.code is None or (self._departed is not None and not done):
            return {}
        before, self._departed = self._departed, code.departures(self._order.task, self._order.code)
        return {} if self._departed == before else self._departed

    def _live(self) -> list[int]:
        """The places of the replicates that are still trained."""
        states = zip(self._replicates.diverged(), self._replicates.ended(), strict=True)
        return [place for place, (gone, ended) in enumerate(states) if gone is None and ended is None]

    def _by_replicate(self, epochs: list[int | None]) -> dict[int, int]:
        return {r: at for r, at in zip(self._order.job.replicates, epochs, strict=True) if at is not None}

    def _lose_patience(self, found: list[Metrics]) -> None:
        """End the replicates that have converged, unless this was their last epoch anyway."""
        order = self._order
        for place in self._live() if found else ():
            patience = self._patience[place]
            value = found[place][order.stop_metric or order.metric]
            converged = patience is not None and patience.exhausted(self._replicates.epoch, value)
            if converged and self._replicates.epoch < order.job.epochs:
                self._converged.add(place)
                self._replicates.end(place)

    def close(self) -> None:
        """Let go of what the task holds open; called once, whatever ended the trial."""
        with self._code:
            self._replicates.close()

    def contents(self) -> tuple[Any, Any]:
        """The states and the weights that checkpoints hold, as they stand; None where there are none."""
        replicates = self._replicates
        with self._code:
            return (replicates.state(), replicates.weights()) if replicates.savable else (None, None)

    def _save(self, done: bool, save_now: bool) -> Saved | None:
        """Write a checkpoint when it is time; at the end only where the whole state is to be kept."""
        order, replicates = self._order, self._replicates
        if not (order.checkpoints and replicates.savable):
            return None
        asked = self._clock.due() or save_now or (self._folder / SAVE_NOW).exists()
        if not (order.keep == "last" if done else asked):
            return None
        watch = Stopwatch()
        states = replicates.state()
        saved = self._write("state", states)
        self._clock.wrote(watch.seconds())
        return saved

    def _save_weights(self) -> Saved | None:
        """Write the models that the test set saw; where whole states are kept they are in there."""
        order, replicates = self._order, self._replicates
        if order.keep != "best" or not (order.checkpoints and replicates.savable):
            return None
        return self._write("weights", replicates.weights())

    def _write(self, what: str, states: list[Any]) -> Saved | None:
        job, epoch = self._order.job, self._replicates.epoch
        content = {"epoch": epoch, "replicates": list(job.replicates), "shape": self._shape, what: states}
        content["extent"] = self._worker.extent
        name = f"{job.sample}-{job.replicates[0]}-{epoch:06d}-{what}.pt"
        if not self._order.gather:
            return checkpoint.save(self._folder, name, content, epoch)
        data = checkpoint.packed(content)
        if len(data) > LARGEST_CARRIED:
            self._too_large = len(data)
            return None
        self._files[name] = data
        return checkpoint.described(name, data, epoch)

    def _check(self, found: list[Metrics]) -> None:
        """Each replicate that was trained must report the metrics that rank configurations."""
        order = self._order
        for place in self._live() if found else ():
            for name in (order.metric, *order.others):
                if name not in found[place]:
                    raise TaskError(
                        f'the metric "{name}" is missing from epoch {self._replicates.epoch}; '
                        f"reported were: {', '.join(found[place]) or 'none'}"
                    )


def _on_device(splits: Splits, device: str) -> DeviceSplits:
    from tune_app.training.learner import DeviceSplits

    return DeviceSplits.load(splits, device)


def _seal(replicates: Replicates) -> Sealed:
    outcomes = replicates.test()
    shape = next((outcome.scores.shape for outcome in outcomes if outcome), (0,))
    rows = np.stack([outcome.scores if outcome else np.full(shape, np.nan) for outcome in outcomes])
    return Sealed(
        _by_name([outcome.metrics if outcome else {} for outcome in outcomes]),
        replicates.evaluated(),
        rows.astype("<f4").tobytes() if rows.size else b"",
        rows.shape if rows.size else (),
    )


def _by_name(found: list[Metrics]) -> Values:
    """R mappings of metrics to one list a metric; None where a replicate has none that is usable."""
    names: Mapping[str, None] = {name: None for each in found for name in each}
    return {name: [value if usable(value := each.get(name)) else None for each in found] for name in names}
