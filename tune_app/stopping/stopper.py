"""Applies the rules of a space to each report, and restores their state from a record.

The state depends only on the values that trials reported, in the order of the record. So a resumed sweep,
which replays the recorded values, decides like one that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tune_app.space import SearchSpace
from tune_app.stopping.rules import Asha, Hyperband, Median, Rule, StoppingDecision
from tune_app.sweep.configurations import Attempt, mean
from tune_app.sweep.evaluation import usable
from tune_app.sweep.events import Decision, Epoch
from tune_app.sweep.history import History

#: The rule that stops a diverged trial, with every scheduler.
DIVERGED = "diverged"


@dataclass(frozen=True)
class Observation:
    """What a trial reported after an epoch: the metric's mean over its seeds, None if one diverged.

    ``end`` says that this is no report: the trial ended after that epoch without a decision.
    """

    sample: int
    epoch: int
    value: float | None
    end: bool = False


class Stopper:
    """Decides after each report which configurations to stop; they are named by their sample numbers.

    Without rules it stops nothing. ``sign`` is -1 if less is better.
    """

    def __init__(self, rules: Sequence[Rule], epochs: int, sign: int = 1) -> None:
        self.rules = rules
        self._epochs, self._sign = epochs, sign
        self._seen: dict[int, int] = {}
        self._unrecorded: dict[int, list[StoppingDecision]] = {}

    @property
    def compares(self) -> bool:
        """Whether the rules compare trials, so that their order matters."""
        return any(rule.compares for rule in self.rules)

    def judge(self, sample: int, epoch: int, value: float | None) -> list[StoppingDecision]:
        """Add a configuration's value at an epoch; returns the decisions, one to stop last.

        An epoch that is trained again after an interruption gives only the decisions that the interruption
        kept out of the record.
        """
        if not self.rules:
            return []
        unrecorded = self._unrecorded.pop(sample, [])
        found = [decision for decision in unrecorded if decision.rung <= epoch]
        if later := [decision for decision in unrecorded if decision.rung > epoch]:
            self._unrecorded[sample] = later
        if value is None or not usable(value):
            found.append(StoppingDecision(epoch, None, None, stop=True, rule=DIVERGED))
        elif epoch > self._seen.get(sample, 0):
            found += self._apply(sample, epoch, value)
        self._seen[sample] = max(epoch, self._seen.get(sample, 0))
        ends = next((index for index, decision in enumerate(found, 1) if decision.stop), None)
        return found[:ends]

    def _apply(self, sample: int, epoch: int, value: float) -> Iterator[StoppingDecision]:
        # Every rule gets every value, even one after a decision to stop.
        decisions = [rule.judge(sample, epoch, self._sign * value) for rule in self.rules]
        if epoch < self._epochs:  # after the last epoch there is nothing to stop
            yield from (self._with_sign(decision) for decision in decisions if decision)

    def _with_sign(self, decision: StoppingDecision) -> StoppingDecision:
        value, threshold = decision.value, decision.threshold
        return replace(
            decision,
            value=None if value is None else self._sign * value,
            threshold=None if threshold is None else self._sign * threshold,
        )

    def end(self, sample: int, epoch: int, value: float | None) -> None:
        """A trial ended without a decision: at later rungs it counts with its last value."""
        if value is None or not usable(value):
            return
        for later in range(epoch + 1, self._epochs + 1):
            for rule in self.rules:
                rule.judge(sample, later, self._sign * value)

    def queue_unrecorded(self, sample: int, decisions: Sequence[StoppingDecision]) -> None:
        """Queue decisions that were not recorded; `judge` returns them when the epoch is reported again."""
        if decisions:
            self._unrecorded[sample] = list(decisions)

    def replay(self, observations: Iterable[Observation], judgements: Iterable[Decision]) -> None:
        """Restore the state from recorded reports and decisions, in the order of the record."""
        known = {(each.sample, each.rung, each.rule) for each in judgements}
        for seen in observations:
            if seen.end:
                self.end(seen.sample, seen.epoch, seen.value)
                continue
            found = self.judge(seen.sample, seen.epoch, seen.value)
            self.queue_unrecorded(
                seen.sample, [d for d in found if (seen.sample, d.rung, d.rule) not in known]
            )


def make_stopper(space: SearchSpace) -> Stopper:
    """The stopper of a space."""
    stop = space.stop
    rules: list[Rule] = []
    match stop.scheduler:
        case "asha":
            rules += [Asha(rungs, stop.reduction_factor) for rungs in stop.rungs_by_bracket(space.epochs)]
        case "hyperband":
            rules.append(Hyperband(stop.rungs_by_bracket(space.epochs), stop.reduction_factor, space.seed))
        case "median":
            rules.append(Median(stop.grace_period, stop.min_samples_required))
    return Stopper(rules, space.epochs, space.stop_metric.sign)


def replay_inputs(history: History, metric: str) -> tuple[list[Observation], list[Decision]]:
    """The recorded observations and decisions, in order, for ``Stopper.replay``."""
    observations = [
        end_observation(each, metric) if isinstance(each, Attempt) else observation(*each, metric)
        for each in history.stopping_inputs
        if not isinstance(each, Decision)
    ]
    return observations, [each for each in history.stopping_inputs if isinstance(each, Decision)]


def observation(attempt: Attempt, epoch: Epoch, metric: str) -> Observation:
    """The observation of a recorded epoch: the mean over the replicates, None if one diverged."""
    gone = any(since <= epoch.epoch for since in attempt.diverged.values())
    return Observation(attempt.sample, epoch.epoch, None if gone else mean(epoch.metrics.get(metric, [])))


def end_observation(attempt: Attempt, metric: str) -> Observation:
    """The observation of a trial that ended without a decision: its last epoch."""
    none = Epoch(trial=attempt.trial, epoch=attempt.epoch, metrics={}, durations_s=[])
    last = attempt.epochs[-1] if attempt.epochs else none
    return replace(observation(attempt, last, metric), end=True)
