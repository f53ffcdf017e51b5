"""The stopping rules, one class per algorithm, and patience. They know neither each other nor the record."""

from __future__ import annotations

import bisect
import itertools
import math
import random
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from tune_app.space import SearchSpace
from tune_app.stats.arithmetic import mean
from tune_app.sweep.trial_spec import SweepSettings


@dataclass(frozen=True)
class StoppingDecision:
    """One decision: the value, the threshold that it was compared with, and whether to ``stop``.

    ``rule`` is ``asha``, ``hyperband`` (with its ``bracket``, from 1), ``median`` or ``diverged``. ``rung``
    is the epoch of the decision; ``threshold`` is None for the first trial at a rung; ``value`` is None for a
    diverged trial, and the best so far for ``median``.
    """

    rung: int
    value: float | None
    threshold: float | None
    stop: bool
    rule: str
    bracket: int | None = None


class Rule(Protocol):
    """One stopping rule. More is better here: a Stopper negates metrics for which less is better.

    A rule gets each configuration's values once, by ascending epoch, and all are finite.
    """

    def judge(self, sample: int, epoch: int, value: float) -> StoppingDecision | None:
        """Add a value; returns a decision at a rung, or if the trial is to stop."""


class Halving:
    """Asynchronous successive halving, its stopping variant (Li et al., MLSys 2020).

    At the first epoch that reaches a rung, a trial stops when its value is below the
    ``1 - 1/reduction_factor`` quantile of the values that came to this rung before it: the rule of Ray
    Tune's ``AsyncHyperBandScheduler``. ``hyperband`` has several brackets, each starting a rung after the one
    before; a configuration's bracket is `bracket_of`. The rungs of a bracket ascend.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._rule = space.stop.scheduler
        self._brackets = space.stop.rungs_by_bracket(space.epochs)
        self._quantile = 1 - 1 / space.stop.reduction_factor
        self._seed = space.seed
        #: The values that came to a rung, by bracket and rung.
        self._values: dict[tuple[int, int], dict[int, float]] = {}

    def judge(self, sample: int, epoch: int, value: float) -> StoppingDecision | None:
        """See Rule."""
        bracket = bracket_of(self._seed, sample, len(self._brackets))
        rungs = [rung for rung in self._brackets[bracket - 1] if rung <= epoch]
        if not rungs:
            return None
        before = self._values.setdefault((bracket, rungs[-1]), {})
        if sample in before:
            return None
        threshold = float(np.percentile(list(before.values()), self._quantile * 100)) if before else None
        before[sample] = value
        stop = threshold is not None and value < threshold
        named = bracket if self._rule == "hyperband" else None
        return StoppingDecision(rungs[-1], value, threshold, stop, self._rule, named)


class Waiting:
    """The part that needs one trial alone, of a rule whose trials wait at rungs: none (see `Rungs`)."""

    def judge(self, sample: int, epoch: int, value: float) -> StoppingDecision | None:
        """See Rule."""
        return None


@dataclass
class Median:
    """The median stopping rule (Golovin et al., Google Vizier, KDD 2017), as Ray Tune's ``hard_stop`` has it.

    From epoch ``grace_period`` on, a trial stops when its best value so far is below the median, over all
    others that have come to this epoch, of the means of their values since ``grace_period``; at least
    ``min_samples_required`` others must have come there.
    """

    grace_period: int
    min_samples_required: int
    _best: dict[int, float] = field(default_factory=dict)
    _values: dict[int, list[float]] = field(default_factory=dict)
    #: By epoch, the means of the trials that reached it, ascending.
    _means: dict[int, list[float]] = field(default_factory=dict)

    def judge(self, sample: int, epoch: int, value: float) -> StoppingDecision | None:
        """See Rule."""
        best = self._best[sample] = max(value, self._best.get(sample, value))
        if epoch < self.grace_period:
            return None
        decision, others = None, self._means.setdefault(epoch, [])
        if len(others) >= self.min_samples_required:
            middle = len(others) // 2
            threshold = (others[middle] + others[~middle]) / 2
            if best < threshold:
                decision = StoppingDecision(epoch, best, threshold, True, "median")
        values = self._values.setdefault(sample, [])
        values.append(value)
        bisect.insort(others, mean(values))
        return decision


@dataclass
class Patience:
    """Ends a replicate whose value has not exceeded its best by over ``min_delta`` for ``epochs`` epochs.

    The epochs up to ``grace_period`` do not count. An improvement of ``min_delta`` or less leaves the best
    unchanged, so that small steps add up, as in Keras's ``EarlyStopping``. ``sign`` is -1 where less is
    better. One object follows one replicate.
    """

    epochs: int
    min_delta: float
    grace_period: int
    sign: int
    _best: float = field(default=-math.inf, init=False)
    _since: int = field(default=0, init=False)

    @classmethod
    def of(cls, settings: SweepSettings) -> Patience | None:
        """What a sweep asks for; None for no patience."""
        if settings.patience is None:
            return None
        return cls(settings.patience, settings.min_delta, settings.grace_period, settings.stop_metric[1])

    def exhausted(self, epoch: int, value: float) -> bool:
        """Take in the value of the next epoch; whether the replicate ends after it."""
        if self.sign * value > self._best + self.min_delta:
            self._best, self._since = self.sign * value, max(epoch, self.grace_period)
            return False
        return epoch - self._since >= self.epochs


def order_key(seed: int, sample: int, what: str = "") -> float:
    """A number in [0, 1) drawn for a sample from the sweep's seed, the same in every session."""
    return random.Random(f"{seed} {sample}{what}").random()


def bracket_of(seed: int, sample: int, brackets: int) -> int:
    """The bracket of a sample, from 1, drawn from the seed and the sample's number.

    Bracket b has weight ``exp(1 - b)``: the softmax over the brackets' numbers of rungs, each having one
    fewer than that before, with which Ray Tune's ``AsyncHyperBandScheduler`` draws.
    """
    weights = [math.exp(-skipped) for skipped in range(brackets)]
    bounds = list(itertools.accumulate(weights))
    return bisect.bisect(bounds, order_key(seed, sample, " bracket") * bounds[-1], hi=brackets - 1) + 1
