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


@dataclass
class Replicate:
    """Where one replicate stands.

    ``epoch`` is the last that it was trained for, and ``evaluated`` the one that ``test`` looks at.
    ``diverged`` says what was not finite in a replicate that froze, ``ended`` what ended another one.
    """

    number: int
    epoch: int = 0
    evaluated: int = 0
    #: Seconds that it took in the last epoch.
    duration_s: float = 0.0
    diverged: str = ""
    ended: str = ""

    @property
    def live(self) -> bool:
        """Whether it is still trained."""
        return not self.diverged and not self.ended


class Replicates(ABC):
    """R replicates of one configuration. A subclass decides how they share a device."""

    #: Whether there are ``state`` and ``weights``.
    savable = True
    epoch = 0
    all: Sequence[Replicate]

    @abstractmethod
    def step(self) -> list[Metrics]:
        """One epoch of every live replicate: R dicts of ``train_`` and ``val_`` metrics."""

    def end(self, place: int, why: str) -> None:
        """Train a replicate no further: it has finished, and waits for ``test``."""
        live, self.all[place].ended = self.all[place].live, why
        if live:
            self._leave(place)

    @abstractmethod
    def _leave(self, place: int) -> None:
        """A live replicate has ended."""

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
