"""The rungs of a sweep at which its configurations wait for each other, restored from its record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tune_app.space import SearchSpace
from tune_app.stats import arithmetic
from tune_app.status import Status
from tune_app.stopping.rungs import SynchronousHalving
from tune_app.sweep.configurations import Attempt, Configuration, mean
from tune_app.sweep.history import History


class RungVerdict(NamedTuple):
    """What a rung decides on a trial: whether it trains on, its value, and that of the last one kept."""

    attempt: Attempt
    goes_on: bool
    value: float | None
    threshold: float | None


class Rungs:
    """Who waits at which rung, who trains on from there, and who is stopped.

    All of it follows from the record, so a resumed sweep decides like one that was never interrupted.
    """

    def __init__(self, space: SearchSpace, history: History) -> None:
        self._rungs = space.stop.waiting_rungs(space.epochs)
        self._metric, self._history = space.stop_metric, history
        trained = [each for each in history.configurations.values() if each.duplicate_of is None]
        factor, ties = space.stop.reduction_factor, space.stop.ties or 0.0
        self._rule = SynchronousHalving(len(trained), self._rungs, factor, ties)
        #: The trials that wait, by sample.
        self._waiting: dict[int, Attempt] = {}
        for configuration in trained:
            self.take_in(configuration)

    def take_in(self, configuration: Configuration) -> None:
        """Read anew how far a configuration has come."""
        sample, judged = configuration.sample, _judged(configuration)
        self._waiting.pop(sample, None)
        if not judged or not self._rungs:  # without rungs nobody waits, and no curve need be read
            return
        last, values = judged[-1], self._values(configuration, judged[-1].replicates)
        if last.end == Status.PAUSED:
            self._waiting[sample] = last
        gone = last.end in (Status.STOPPED, Status.FAILED) or bool(last.diverged)
        for rung in self._rungs:
            if gone and rung not in configuration.promoted:
                self._rule.reach(sample, rung, None)
            elif rung in values:
                self._rule.reach(sample, rung, values[rung])
            elif last.end == Status.FINISHED:  # before its last epoch: it keeps its last value
                self._rule.reach(sample, rung, values[max(values)] if values else None)

    def arrival(self, configuration: Configuration) -> RungVerdict | None:
        """The verdict on a trial that has just come to a rung; None if it has to wait there."""
        self.take_in(configuration)
        attempt = configuration.attempts[-1]
        kept, full = self._rule.kept(attempt.epoch), self._rule.full(attempt.epoch)
        goes_on = configuration.sample in kept or attempt.epoch in configuration.promoted
        return self._verdict(attempt, goes_on) if goes_on or full else None

    def verdicts(self) -> Iterator[RungVerdict]:
        """The verdicts on trials that wait, those that train on first, the best of the lowest rung first."""
        for rung in self._rungs:
            waiting = {sample: each for sample, each in self._waiting.items() if each.epoch == rung}
            kept = self._rule.kept(rung) if waiting else []
            for sample in kept:
                if attempt := waiting.pop(sample, None):
                    yield self._verdict(attempt, True)
            if waiting and self._rule.full(rung):
                yield from (self._verdict(attempt, False) for attempt in waiting.values())

    def value(self, attempt: Attempt) -> float | None:
        """What the rung ranks by, of a trial that has come there."""
        return mean(attempt.epochs[-1].metrics.get(self._metric.name, []))

    def _verdict(self, attempt: Attempt, goes_on: bool) -> RungVerdict:
        kept, rung = self._rule.kept(attempt.epoch), attempt.epoch
        threshold = None
        if kept and self._rule.full(rung):
            last = _judged(self._history.configurations[kept[-1]])[-1]
            values = self._values(self._history.configurations[last.sample], last.replicates).get(rung)
            threshold = self._metric.sign * arithmetic.mean(values) if values else None
        return RungVerdict(attempt, goes_on, self.value(attempt), threshold)

    def _values(
        self, configuration: Configuration, replicates: Sequence[int]
    ) -> dict[int, list[float] | None]:
        """By epoch what the rungs rank by, for each seed, more being better; None where a seed has none."""
        rows = [configuration.epochs(replicate) for replicate in replicates]
        columns = [{epoch: found.get(self._metric.name) for epoch, found, _ in each} for each in rows]
        found: dict[int, list[float] | None] = {}
        for epoch in columns[0]:
            known = [value for column in columns if (value := column.get(epoch)) is not None]
            whole = len(known) == len(columns)
            found[epoch] = [self._metric.sign * value for value in known] if whole else None
        return found


def _judged(configuration: Configuration) -> list[Attempt]:
    return [attempt for attempt in configuration.attempts if not attempt.follows]
