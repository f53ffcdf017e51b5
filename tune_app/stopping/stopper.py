"""Applies the rule of a space to each report, and restores its state from a record.

The state depends only on the values that trials reported, in the order of the record. So a resumed sweep,
which replays the recorded values, decides like one that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from tune_app.space import SearchSpace
from tune_app.stopping.rules import Halving, Median, Rule, StoppingDecision, Waiting
from tune_app.sweep.configurations import Attempt, mean, usable
from tune_app.sweep.events import Decision, Epoch
from tune_app.sweep.history import History

#: The rule that stops a diverged trial, with every scheduler.
DIVERGED = "diverged"


class Observation(NamedTuple):
    """What a trial reported after an epoch: the metric's mean over its seeds, None if one diverged.

    ``end`` says that this is no report: the trial ended after that epoch without a decision.
    """

    sample: int
    epoch: int
    value: float | None
    end: bool = False


class Stopper:
    """Decides after each report which configurations to stop; they are named by their sample numbers.

    Without a rule it stops nothing. ``sign`` is -1 if less is better.
    """

    def __init__(self, rule: Rule | None, epochs: int, sign: int = 1) -> None:
        self.rule = rule
        self._epochs, self._sign = epochs, sign
        self._seen: dict[int, int] = {}
        self._unrecorded: dict[int, list[StoppingDecision]] = {}

    def judge(
        self, sample: int, epoch: int, value: float | None, end: bool = False
    ) -> list[StoppingDecision]:
        """Add an observation; returns the decisions, one to stop last.

        An epoch that is trained again after an interruption gives only the decisions that the interruption
        kept out of the record. A trial that has ended counts at later rungs with its last value.
        """
        if not self.rule:
            return []
        signed = self._sign * value if value is not None and usable(value) else None
        if end:
            if signed is not None:
                for later in range(epoch + 1, self._epochs + 1):
                    self.rule.judge(sample, later, signed)
            return []
        unrecorded = self._unrecorded.pop(sample, [])
        found = [decision for decision in unrecorded if decision.rung <= epoch]
        self.queue_unrecorded(sample, [decision for decision in unrecorded if decision.rung > epoch])
        if signed is None:
            found.append(StoppingDecision(epoch, None, None, stop=True, rule=DIVERGED))
        elif epoch > self._seen.get(sample, 0):
            decision = self.rule.judge(sample, epoch, signed)
            if decision and epoch < self._epochs:  # after the last epoch there is nothing to stop
                found.append(self._with_sign(decision))
        self._seen[sample] = max(epoch, self._seen.get(sample, 0))
        ends = next((index for index, decision in enumerate(found, 1) if decision.stop), None)
        return found[:ends]

    def _with_sign(self, decision: StoppingDecision) -> StoppingDecision:
        value, threshold = decision.value, decision.threshold
        return replace(
            decision,
            value=None if value is None else self._sign * value,
            threshold=None if threshold is None else self._sign * threshold,
        )

    def queue_unrecorded(self, sample: int, decisions: Sequence[StoppingDecision]) -> None:
        """Queue decisions that were not recorded; `judge` returns them when the epoch is reported again."""
        if decisions:
            self._unrecorded[sample] = list(decisions)

    def replay(self, observations: Iterable[Observation], judgements: Iterable[Decision]) -> None:
        """Restore the state from recorded reports and decisions, in the order of the record."""
        known = {(each.sample, each.rung, each.rule) for each in judgements}
        for seen in observations:
            found = self.judge(*seen)
            self.queue_unrecorded(
                seen.sample, [d for d in found if (seen.sample, d.rung, d.rule) not in known]
            )


def make_stopper(space: SearchSpace) -> Stopper:
    """The stopper of a space."""
    rule: Rule | None = None
    if space.stop.waiting_rungs(space.epochs):
        rule = Waiting()
    elif space.stop.rungs_by_bracket(space.epochs):
        rule = Halving(space)
    elif space.stop.scheduler == "median":
        rule = Median(space.stop.grace_period, space.stop.min_samples_required)
    return Stopper(rule, space.epochs, space.stop_metric.sign)


def replay_inputs(history: History, metric: str) -> tuple[list[Observation], list[Decision]]:
    """The recorded observations and decisions, in order, for ``Stopper.replay``."""
    observations = [
        observation(each, metric) if isinstance(each, Attempt) else observation(each[0], metric, each[1])
        for each in history.stopping_inputs
        if not isinstance(each, Decision)
    ]
    return observations, [each for each in history.stopping_inputs if isinstance(each, Decision)]


def observation(attempt: Attempt, metric: str, epoch: Epoch | None = None) -> Observation:
    """The observation of a recorded epoch; without ``epoch``, that of a trial's end without a decision."""
    seen = epoch or next(reversed(attempt.epochs), None)
    number = seen.epoch if seen else attempt.epoch
    diverged = any(since <= number for since in attempt.diverged.values())
    value = None if diverged or not seen else mean(seen.metrics.get(metric, []))
    return Observation(attempt.sample, number, value, end=epoch is None)
