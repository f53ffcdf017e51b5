"""The trials that wait at a rung of early stopping: who is paused, promoted or stopped there."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tune_app.driver.checkpoints import CheckpointRetention
from tune_app.driver.trial_queue import TrialQueue
from tune_app.status import Status
from tune_app.stopping import Rungs
from tune_app.stopping.pausing import RungVerdict
from tune_app.sweep import Sweep, events
from tune_app.sweep.events import Event, Saved


class WaitingTrials:
    """Records what the rungs decide, and queues the trials that train on."""

    def __init__(
        self,
        sweep: Sweep,
        queue: TrialQueue,
        retention: CheckpointRetention,
        record: Callable[[Event], object],
    ) -> None:
        self._sweep, self._queue, self._retention, self._record = sweep, queue, retention, record
        self._rungs = Rungs(sweep.space, sweep.history)

    def leaves(self, trial: str, saved: Saved | None) -> bool:
        """A trial has come to a rung: record whether it trains on, waits or is stopped; whether it ends."""
        attempt = self._sweep.history.attempts[trial]
        verdict = self._rungs.arrival(self._sweep.history.configurations[attempt.sample])
        if verdict is None:
            value = self._rungs.value(attempt, attempt.epoch)
            self._record(events.Paused(trial=trial, epoch=attempt.epoch, value=value, saved=saved))
            return True
        self._record_verdict(verdict, saved)
        return not verdict.goes_on

    def decide(self, changed: int | None = None) -> None:
        """Promote or stop the trials that wait, as far as is certain once a configuration has ``changed``."""
        if changed is not None:
            self._rungs.take_in(self._sweep.history.configurations[changed])
        self._carry_out(self._rungs.verdicts())

    def conclude(self) -> bool:
        """Where nothing trains and no point is to come, decide on all that wait; whether there were any."""
        return self._carry_out(self._rungs.conclude())

    def _carry_out(self, verdicts: Iterable[RungVerdict]) -> bool:
        found = list(verdicts)
        for verdict in found:
            configuration = self._sweep.history.configurations[verdict.attempt.sample]
            self._record_verdict(verdict, verdict.attempt.saved)
            self._rungs.take_in(configuration)
            self._queue.release(configuration)
        return bool(found)

    def stop(self, sample: int) -> None:
        """Stop a configuration for its user, if it waits."""
        configuration = self._sweep.history.configurations[sample]
        for attempt in configuration.attempts:
            if attempt.end == Status.PAUSED:
                reason, saved = f"by tune-app stop, at epoch {attempt.epoch}", attempt.saved
                last = saved if self._sweep.space.keep == "last" else None
                self._record(events.Stopped(trial=attempt.trial, reason=reason, saved=last))
                if saved and not last:
                    self._retention.remove(saved.file)
                self._queue.release(configuration)
                self.decide(sample)

    def _record_verdict(self, verdict: RungVerdict, saved: Saved | None) -> None:
        attempt, value = verdict.attempt, verdict.value
        if verdict.goes_on:
            if attempt.epoch not in self._sweep.history.configurations[attempt.sample].promoted:
                self._record(events.Promoted(trial=attempt.trial, epoch=attempt.epoch, value=value))
            return
        last = saved if self._sweep.space.keep == "last" else None
        self._record(
            events.Decision(
                trial=attempt.trial,
                sample=attempt.sample,
                epoch=attempt.epoch,
                rung=attempt.epoch,
                value=value,
                threshold=verdict.threshold,
                stop=True,
                rule=self._sweep.space.stop.scheduler,
                saved=last,
            )
        )
        if saved and not last:
            self._retention.remove(saved.file)
