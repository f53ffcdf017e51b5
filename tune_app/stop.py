"""Early stopping: pure rules over reported values. Every judgement is returned, to be recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from tune_app.history import Judgement
from tune_app.space import SearchSpace


@dataclass(frozen=True)
class Decision:
    """One judgement at a rung: the trial's value, the threshold it was held against, and the verdict.

    ``threshold`` is None for the first trial at a rung; ``value`` is None for a diverged one.
    """

    rung: float
    value: float | None
    threshold: float | None
    stop: bool


class Stopper(Protocol):
    """Decides, report by report, which configurations go on; each is named by its sample number."""

    def judge(self, sample: int, epoch: int, value: float | None) -> Decision | None:
        """Take in a configuration's value at an epoch; None where nothing is decided there."""

    def replay(self, judgements: Iterable[Judgement]) -> None:
        """Take in what was decided before, so that a resumed sweep decides on all of it."""


class Never:
    """No early stopping."""

    def judge(self, sample: int, epoch: int, value: float | None) -> Decision | None:
        """See Stopper."""
        return None

    def replay(self, judgements: Iterable[Judgement]) -> None:
        """See Stopper."""


@dataclass
class Asha:
    """Asynchronous successive halving, its stopping variant, one bracket (Li et al., MLSys 2020).

    At the first epoch that reaches a rung, a trial stops when its value is below the
    ``1 - 1/reduction_factor`` quantile of the values that came to this rung before it: the rule of Ray
    Tune's ``AsyncHyperBandScheduler``. A diverged trial stops and enters no rung.
    """

    rungs: list[float]
    reduction_factor: float
    sign: int = 1
    _values: dict[float, dict[int, float]] = field(default_factory=dict)

    def judge(self, sample: int, epoch: int, value: float | None) -> Decision | None:
        """See Stopper."""
        reached = [rung for rung in self.rungs if epoch >= rung]
        if not reached or sample in self._values.get(reached[-1], {}):
            return None
        rung = reached[-1]
        if value is None:
            return Decision(rung, None, None, stop=True)
        before = self._values.setdefault(rung, {})
        threshold = None
        if before:
            share = (1 - 1 / self.reduction_factor) * 100
            threshold = self.sign * float(np.percentile(list(before.values()), share))
        stop = threshold is not None and self.sign * value < self.sign * threshold
        before[sample] = self.sign * value
        return Decision(rung, value, threshold, stop)

    def replay(self, judgements: Iterable[Judgement]) -> None:
        """See Stopper."""
        for judgement in judgements:
            if judgement.value is not None:
                rung = self._values.setdefault(judgement.rung, {})
                rung[judgement.sample] = self.sign * judgement.value


def make(space: SearchSpace) -> Stopper:
    """The stopper that a space names.

    Raises:
        SpaceError: for one that this version does not have.
    """
    match space.stop.scheduler:
        case "none":
            return Never()
        case "asha":
            sign = 1 if space.stop_metric.mode == "max" else -1
            return Asha(list(space.stop.rungs(space.epochs)), space.stop.reduction_factor, sign)
        case other:
            raise space.error("stop.scheduler", f'"{other}" is not built yet; use asha or none')
