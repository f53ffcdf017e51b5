"""The rules of a space, applied to each report, and taken up again from a record.

What a stopper knows is a fold over the values that trials reported, in the order of the record: so a
resumed sweep, which takes in the recorded values again, decides as one that was never interrupted.
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

#: The rule that stops a diverged trial, whatever the scheduler.
DIVERGED = "diverged"


@dataclass(frozen=True)
class Observation:
    """What a trial reported after an epoch: the metric's mean over its seeds, None when one diverged.

    ``end`` says that this is no further report: the trial has ended by itself after that epoch.
    """

    sample: int
    epoch: int
    value: float | None
    end: bool = False


class Stopper:
    """Decides, report by report, which configurations go on; each is named by its sample number.

    Holds the rules of a space. Without rules nothing ever stops. ``sign`` is -1 where less is better.
    """

    def __init__(self, rules: Sequence[Rule], epochs: int, sign: int = 1) -> None:
        self.rules = rules
        self._epochs, self._sign = epochs, sign
        self._seen: dict[int, int] = {}
        self._unrecorded: dict[int, list[StoppingDecision]] = {}

    @property
    def compares(self) -> bool:
        """Whether the order of the trials matters, since they are held against one another."""
        return any(rule.compares for rule in self.rules)

    def judge(self, sample: int, epoch: int, value: float | None) -> list[StoppingDecision]:
        """Take in a configuration's value at an epoch; what is decided there, a decision to stop last.

        An epoch that is trained again, after an interruption, counts as it did the first time, and brings
        only those decisions that the interruption kept from being recorded.
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
        # Every rule takes in every value, even one that follows upon a decision to stop.
        decisions = [rule.judge(sample, epoch, self._sign * value) for rule in self.rules]
        if epoch < self._epochs:  # after the last epoch nothing is left to be stopped
            yield from (self._with_sign(decision) for decision in decisions if decision)

    def _with_sign(self, decision: StoppingDecision) -> StoppingDecision:
        value, threshold = decision.value, decision.threshold
        return replace(
            decision,
            value=None if value is None else self._sign * value,
            threshold=None if threshold is None else self._sign * threshold,
        )

    def end(self, sample: int, epoch: int, value: float | None) -> None:
        """A trial has ended by itself: at the rungs after ``epoch`` it stands with its last value."""
        if value is None or not usable(value):
            return
        for later in range(epoch + 1, self._epochs + 1):
            for rule in self.rules:
                rule.judge(sample, later, self._sign * value)

    def queue_unrecorded(self, sample: int, decisions: Sequence[StoppingDecision]) -> None:
        """Decisions that were made and not recorded: given out when the trial comes by there again."""
        if decisions:
            self._unrecorded[sample] = list(decisions)

    def replay(self, observations: Iterable[Observation], judgements: Iterable[Decision]) -> None:
        """Take in, before anything else, what was reported and decided, in the order of the record."""
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
    """The stopper that a space asks for."""
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
    """What a stopper was told and what it decided, in the order of the record: for ``Stopper.replay``."""
    observations = [
        end_observation(each, metric) if isinstance(each, Attempt) else observation(*each, metric)
        for each in history.stopping_inputs
        if not isinstance(each, Decision)
    ]
    return observations, [each for each in history.stopping_inputs if isinstance(each, Decision)]


def observation(attempt: Attempt, epoch: Epoch, metric: str) -> Observation:
    """What a stopper is told of one recorded epoch: the mean over the replicates, None where one diverged."""
    gone = any(since <= epoch.epoch for since in attempt.diverged.values())
    return Observation(attempt.sample, epoch.epoch, None if gone else mean(epoch.metrics.get(metric, [])))


def end_observation(attempt: Attempt, metric: str) -> Observation:
    """What a stopper is told of a trial that ended by itself: its last epoch, whose value it keeps."""
    none = Epoch(trial=attempt.trial, epoch=attempt.epoch, metrics={}, durations_s=[])
    last = attempt.epochs[-1] if attempt.epochs else none
    return replace(observation(attempt, last, metric), end=True)
