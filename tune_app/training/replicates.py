"""The replicates of one configuration, which advance together an epoch at a time.

Nothing in here loads torch: a function task may do without.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tune_app.sweep.trial_spec import TrialSpec

#: One replicate's metrics of one epoch; empty once it has diverged or ended.
Metrics = Mapping[str, float]


@dataclass(frozen=True)
class ReplicateTest:
    """One replicate on the test set: ``test_`` metrics, and the score of every image, (N,) or (N, C)."""

    metrics: dict[str, float]
    scores: NDArray[np.float32]


class Stopwatch:
    """Seconds of wall time since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def seconds(self) -> float:
        """Seconds so far, to a tenth of a millisecond."""
        return round(time.perf_counter() - self._start, 4)


class Replicates(ABC):
    """R replicates of one configuration. A subclass decides how they share a device."""

    #: Whether there are ``state`` and ``weights``.
    savable = True

    def __init__(self, spec: TrialSpec) -> None:
        self.epoch = 0
        #: Seconds that each replicate took in the last epoch, (R,).
        self.durations_s = [0.0] * len(spec.replicates)

    @abstractmethod
    def step(self) -> list[Metrics]:
        """One epoch of every replicate: R dicts of ``train_`` and ``val_`` metrics."""

    @abstractmethod
    def diverged(self) -> list[int | None]:
        """The epoch at which each replicate became non-finite and froze; None for the others, (R,)."""

    def why(self, index: int) -> str:
        """What was not finite in a replicate that diverged."""
        return "a loss or a parameter was not finite, or beyond 1e100"

    @abstractmethod
    def end(self, index: int) -> None:
        """Train a replicate no further: it has finished, and waits for ``test``."""

    @abstractmethod
    def ended(self) -> list[int | None]:
        """The last epoch of each replicate that is trained no further though it has not diverged, (R,)."""

    @abstractmethod
    def evaluated(self) -> list[int]:
        """The epoch of each replicate that ``test`` looks at, (R,)."""

    @abstractmethod
    def test(self) -> list[ReplicateTest | None]:
        """Look at the test set: None for a replicate that diverged, (R,). Called once, at the end."""

    def state(self) -> list[Any]:
        """Each replicate's state, (R,), of tensors and plain values."""
        raise NotImplementedError

    def load(self, states: Sequence[Any]) -> None:
        """Resume from states exactly as if never stopped. Those of earlier epochs have ended."""
        raise NotImplementedError

    def weights(self) -> list[Any]:
        """The weights that ``test`` looks at, (R,), None for one that diverged."""
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027 - most hold nothing open
        """Close what the task holds open; called once, whatever ended the trial."""
