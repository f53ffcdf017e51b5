"""Patience: a replicate that no longer improves has converged; it ends as finished."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tune_app.sweep.trial_spec import SweepSettings


@dataclass
class Patience:
    """Ends a replicate whose value has not exceeded its best by over ``min_delta`` for ``epochs`` epochs.

    The epochs up to ``grace_period`` do not count. An improvement of ``min_delta`` or less leaves the best
    unchanged, so that small steps add up, as in Keras's ``EarlyStopping``. ``sign`` is -1 where less is
    better. One object follows one replicate.
    """

    epochs: int
    min_delta: float = 0.0
    grace_period: int = 1
    sign: int = 1
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
