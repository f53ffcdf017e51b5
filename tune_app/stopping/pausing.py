"""The rungs of a sweep at which its configurations wait for each other, restored from its record."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tune_app.space import SearchSpace
from tune_app.stats.arithmetic import mean
from tune_app.status import Status
from tune_app.stopping.rungs import Promotion, PromotionAsha, RungRule, SynchronousHalving
from tune_app.sweep.configurations import Attempt, Configuration, EpochRow, mean_up_to
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
        self._space, self._history = space, history
        factor, ties, size = space.stop.reduction_factor, space.stop.ties or 0.0, len(self._trained())
        self._asynchronous = PromotionAsha(self._rungs, factor) if space.stop.promotes else None
        self._rule: RungRule = self._asynchronous or SynchronousHalving(size, self._rungs, factor, ties)
        #: The trials that wait, by sample.
        self._waiting: dict[int, Attempt] = {}
        for configuration in self._trained():
            self.take_in(configuration)

    def take_in(self, configuration: Configuration) -> None:
        """Read anew how far a configuration has come."""
        sample, judged = configuration.sample, _judged(configuration)
        self._waiting.pop(sample, None)
        if not judged or not self._rungs:  # without rungs nobody waits, and no curve need be read
            return
        last, promoted, ended = judged[-1], configuration.promoted, self._finished(configuration)
        if last.end == Status.PAUSED:
            self._waiting[sample] = last
        gone = last.end in (Status.STOPPED, Status.FAILED) or bool(last.diverged) or configuration.revived
        rows = self._rows(last)
        for rung in self._rungs:
            if rung in promoted:
                self._rule.promote(Promotion(sample, rung))
            # One that has ended by itself keeps its last value.
            if ended or (rung <= last.epoch and (rung in promoted or not gone)):
                self._rule.reach(sample, rung, self._values(rows, rung))
            elif gone:
                self._rule.reach(sample, rung, None)
                break

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
                yield from (self._verdict(attempt, False) for _, attempt in sorted(waiting.items()))

    def conclude(self) -> Iterator[RungVerdict]:
        """The verdicts on trials that wait for more points to come, where none will come.

        There are none while a trial is still to be trained. All that wait are stopped, unless no
        configuration has finished: then the best of the highest rung trains on.
        """
        if not self._asynchronous or not self._waiting or any(map(self._trains, self._trained())):
            return
        last = None if any(map(self._finished, self._trained())) else self._asynchronous.last()
        if last:
            yield self._verdict(self._waiting[last.sample], True)
        else:
            self._asynchronous.closed = True
            yield from self.verdicts()

    def value(self, attempt: Attempt, rung: int) -> float | None:
        """What a rung ranks by, of a trial that has come there."""
        values = self._values(self._rows(attempt), rung)
        return None if values is None else self._space.stop_metric.sign * mean(values)

    def _verdict(self, attempt: Attempt, goes_on: bool) -> RungVerdict:
        kept, rung = self._rule.kept(attempt.epoch), attempt.epoch
        threshold = None  # what waits for more points to come is compared with none in particular
        if kept and self._rule.full(rung) and not self._asynchronous:
            threshold = self.value(_judged(self._history.configurations[kept[-1]])[-1], rung)
        return RungVerdict(attempt, goes_on, self.value(attempt, rung), threshold)

    def _rows(self, attempt: Attempt) -> list[list[EpochRow]]:
        """The epochs of each replicate of a configuration's newest trial."""
        return [self._history.configurations[attempt.sample].epochs(each) for each in attempt.replicates]

    def _values(self, rows: Sequence[Sequence[EpochRow]], rung: int) -> list[float] | None:
        """What a rung ranks by, for each seed, more being better; None where a seed has none."""
        metric, window = self._space.stop_metric, self._space.stop.window or 1
        found = [mean_up_to(each, rung, window, metric.name) for each in rows]
        known = [metric.sign * value for value in found if value is not None]
        return known if len(known) == len(found) else None

    def _trained(self) -> list[Configuration]:
        return [each for each in self._history.configurations.values() if each.duplicate_of is None]

    def _trains(self, configuration: Configuration) -> bool:
        """Whether it trains, or is still to train, and does not wait."""
        return not configuration.paused and self._lack(configuration, configuration.replicates(self._space))

    def _finished(self, configuration: Configuration) -> bool:
        """Whether it has finished, and no more epochs are wanted of it."""
        last = next(reversed(_judged(configuration)), None)
        if last is None or last.end != Status.FINISHED or last.diverged:
            return False
        return not self._lack(configuration, last.replicates)

    def _lack(self, configuration: Configuration, replicates: Iterable[int]) -> bool:
        return any(configuration.lacks(replicate, self._space.epochs) for replicate in replicates)


def stages(space: SearchSpace, size: int) -> list[int]:
    """How many of ``size`` configurations train on from each rung at which they wait, without ties."""
    whole, found = math.floor if space.stop.promotes else math.ceil, [size]
    for _ in space.stop.waiting_rungs(space.epochs):
        found.append(max(1, whole(found[-1] / space.stop.reduction_factor)))
    return found[1:]


def _judged(configuration: Configuration) -> list[Attempt]:
    return [attempt for attempt in configuration.attempts if not attempt.follows]
