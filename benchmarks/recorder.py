"""Records trials by hand, event by event, as a driver would: for benchmarks and tests. Nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tune_app.sweep import Sweep
from tune_app.sweep.configurations import Attempt
from tune_app.sweep.events import (
    Checkpoint,
    Decision,
    Diverged,
    Epoch,
    Event,
    Failed,
    Finished,
    Opened,
    Paused,
    Promoted,
    Saved,
    ScoreRows,
    Started,
    Stopped,
)
from tune_app.sweep.history import History

#: A metric's values in one epoch, one for each replicate.
Row = Sequence[float | None]


class Recorder:
    """Records the events of trials.

    Args:
        note: takes each event and updates ``history``.
        replicates: those that a trial has unless ``start`` names others.
        target: the last epoch of a trial.
        metric: the metric of an epoch that is given without names.
    """

    def __init__(
        self,
        note: Callable[[Event], object],
        history: History,
        replicates: Sequence[int],
        target: int,
        metric: str = "val_accuracy",
    ) -> None:
        self._note, self._history = note, history
        self._replicates, self._target, self._metric = replicates, target, metric

    @classmethod
    def of(cls, sweep: Sweep) -> Recorder:
        """A recorder of a sweep that is open for writing."""
        space = sweep.space
        replicates = range(space.first_replicate, space.first_replicate + space.seeds)
        return cls(sweep.note, sweep.history, replicates, space.epochs, space.metric.name)

    def start(self, sample: int, *replicates: int, epoch: int = 0) -> str:
        """A new trial of a sample that continues after ``epoch``; returns its name."""
        trial, chosen = self._history.next_trial(sample), list(replicates or self._replicates)
        self._note(
            Started(
                trial=trial, sample=sample, replicates=chosen, epoch=epoch, target=self._target, node="here"
            )
        )
        return trial

    def train(
        self, sample: int, *rows: Mapping[str, Row] | Row, test: Mapping[str, Row] | None = None
    ) -> None:
        """A whole trial of a sample: an epoch for each row, the last repeated to the target, and its end."""
        trial = self.start(sample)
        for epoch in range(self._target):
            self.epoch(trial, rows[min(epoch, len(rows) - 1)])
        self.finish(trial, test)

    def epoch(
        self, trial: str, metrics: Mapping[str, Row] | Row, device: str = "cpu", duration_s: float = 0.5
    ) -> None:
        """The next epoch of a trial; a row of one value counts for every replicate."""
        attempt = self._attempt(trial)
        named = metrics if isinstance(metrics, Mapping) else {self._metric: metrics}
        size = len(attempt.replicates)
        self._note(
            Epoch(
                trial=trial,
                epoch=attempt.epoch + 1,
                metrics={name: [*row] * (size if len(row) == 1 else 1) for name, row in named.items()},
                durations_s=[duration_s] * size,
                device=device,
            )
        )

    def finish(
        self, trial: str, test: Mapping[str, Row] | None = None, scores: ScoreRows | None = None
    ) -> None:
        """The end of a trial, all replicates evaluated at its last epoch."""
        last = self._attempt(trial).epoch
        evaluated = [last] * len(self._attempt(trial).replicates)
        found = {name: [*row] for name, row in (test or {}).items()}
        self._note(Finished(trial=trial, epoch=last, evaluated=evaluated, test=found, scores=scores))

    def diverge(self, trial: str, *replicates: int, why: str | None = None) -> None:
        """Divergence at the last epoch; of replicate 0 unless others are named."""
        epoch = max(self._attempt(trial).epoch, 1)
        self._note(Diverged(trial=trial, epoch=epoch, replicates=list(replicates or (0,)), why=why))

    def decide(
        self, trial: str, value: float, threshold: float | None, stop: bool, epoch: int | None = None
    ) -> None:
        """A decision of early stopping after an epoch: the last, unless said."""
        attempt = self._attempt(trial)
        rung = attempt.epoch if epoch is None else epoch
        self._note(
            Decision(
                trial=trial,
                sample=attempt.sample,
                epoch=rung,
                rung=rung,
                value=value,
                threshold=threshold,
                stop=stop,
            )
        )

    def pause(self, trial: str, value: float | None) -> None:
        """A trial that waits at its last epoch, a rung that ranks by ``value``."""
        self._note(Paused(trial=trial, epoch=self._attempt(trial).epoch, value=value))

    def promote(self, trial: str, value: float | None) -> None:
        """A trial that trains on beyond its last epoch."""
        self._note(Promoted(trial=trial, epoch=self._attempt(trial).epoch, value=value))

    def stop(self, trial: str, reason: str = "asked") -> None:
        """A trial that a person stops."""
        self._note(Stopped(trial=trial, reason=reason))

    def fail(self, trial: str, reason: str = "RuntimeError: boom", log: str = "", final: bool = True) -> None:
        """A trial that fails; it is tried again unless that is final."""
        sample = self._attempt(trial).sample
        self._note(Failed(trial=trial, reason=reason, log=log, sample=sample, final=final))

    def save(self, trial: str, saved: Saved) -> None:
        """A checkpoint of a trial."""
        self._note(Checkpoint(trial=trial, saved=saved))

    def interrupt(self) -> None:
        """A new session, which interrupts the trials that are running."""
        self._note(Opened())

    def _attempt(self, trial: str) -> Attempt:
        return self._history.attempts[trial]
