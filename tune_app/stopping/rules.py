"""The stopping rules, one class per algorithm. They know neither each other nor the record."""

from __future__ import annotations

import bisect
import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from tune_app.stats.arithmetic import mean


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

    @property
    def compares(self) -> bool:
        """Whether the rule compares configurations, so that the order of the trials matters."""

    def judge(self, sample: int, epoch: int, value: float) -> StoppingDecision | None:
        """Add a value; returns a decision at a rung, or if the trial is to stop."""


@dataclass
class Asha:
    """Asynchronous successive halving, its stopping variant, one bracket (Li et al., MLSys 2020).

    At the first epoch that reaches a rung, a trial stops when its value is below the
    ``1 - 1/reduction_factor`` quantile of the values that came to this rung before it: the rule of Ray
    Tune's ``AsyncHyperBandScheduler``. ``rungs`` ascend.
    """

    rungs: Sequence[int]
    reduction_factor: float
    compares = True
    _values: dict[int, dict[int, float]] = field(default_factory=dict)

    def judge(self, sample: int, epoch: int, value: float) -> StoppingDecision | None:
        """See Rule."""
        reached = bisect.bisect(self.rungs, epoch)
        if not reached:
            return None
        rung = self.rungs[reached - 1]
        before = self._values.setdefault(rung, {})
        if sample in before:
            return None
        threshold = None
        if before:
            threshold = float(np.percentile(list(before.values()), (1 - 1 / self.reduction_factor) * 100))
        before[sample] = value
        return StoppingDecision(rung, value, threshold, threshold is not None and value < threshold, "asha")


class Hyperband:
    """Asynchronous Hyperband: several brackets of ASHA, each starting a rung after the one before.

    Ray Tune's ``AsyncHyperBandScheduler`` with ``brackets`` above 1, except that a configuration's
    bracket follows from the seed and its sample number alone (see ``bracket_of``). ``rungs_by_bracket`` has
    the rungs of each bracket.
    """

    compares = True

    def __init__(self, rungs_by_bracket: Sequence[Sequence[int]], reduction_factor: float, seed: int) -> None:
        self._brackets = [Asha(rungs, reduction_factor) for rungs in rungs_by_bracket]
        self._seed = seed

    def judge(self, sample: int, epoch: int, value: float) -> StoppingDecision | None:
        """See Rule."""
        number = bracket_of(self._seed, sample, len(self._brackets))
        decision = self._brackets[number - 1].judge(sample, epoch, value)
        return decision and replace(decision, rule="hyperband", bracket=number)


@dataclass
class Median:
    """The median stopping rule (Golovin et al., Google Vizier, KDD 2017), as Ray Tune's ``hard_stop`` has it.

    From epoch ``grace_period`` on, a trial stops when its best value so far is below the median, over all
    others that have come to this epoch, of the means of their values since ``grace_period``; at least
    ``min_samples_required`` others must have come there.
    """

    grace_period: int
    min_samples_required: int
    compares = True
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
