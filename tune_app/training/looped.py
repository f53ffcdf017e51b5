"""Replicates of a Task, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tune_app.space import Config
from tune_app.tasks.task import Task
from tune_app.training.learner import DeviceSplits, Learner
from tune_app.training.replicates import NON_FINITE, Metrics, Outcome, Stopwatch


class Looped:
    """Replicates of a Task, trained one after the other in each epoch."""

    savable = True

    def __init__(
        self,
        task: Task,
        config: Config,
        splits: DeviceSplits,
        seed: int,
        replicates: Sequence[int],
        epochs: int,
        keep_best: tuple[str, int] | None = None,
        precision: str = "float32",
    ) -> None:
        self._learners = [
            Learner(task, config, splits, seed, r, epochs, keep_best, precision) for r in replicates
        ]
        self._ended: dict[int, int] = {}
        self.epoch = 0
        self.durations_s = [0.0] * len(self._learners)

    def step(self) -> list[Metrics]:
        """See Replicates."""
        found: list[Metrics] = []
        for index, learner in enumerate(self._learners):
            watch = Stopwatch()
            found.append({} if index in self._ended else learner.step())
            self.durations_s[index] = watch.seconds()
        self.epoch += 1
        return found

    def diverged(self) -> list[int | None]:
        """See Replicates."""
        return [learner.epoch if learner.diverged else None for learner in self._learners]

    def why(self, index: int) -> str:
        """See Replicates."""
        return NON_FINITE

    def end(self, index: int) -> None:
        """See Replicates."""
        self._ended.setdefault(index, self._learners[index].epoch)

    def ended(self) -> list[int | None]:
        """See Replicates."""
        return [self._ended.get(index) for index in range(len(self._learners))]

    def close(self) -> None:
        """See Replicates."""

    def evaluated(self) -> list[int]:
        """See Replicates."""
        return [learner.evaluated for learner in self._learners]

    def test(self) -> list[Outcome | None]:
        """See Replicates."""
        return [None if learner.diverged else learner.test() for learner in self._learners]

    def state(self) -> list[Any]:
        """See Replicates."""
        return [learner.state() for learner in self._learners]

    def load(self, states: Sequence[Any]) -> None:
        """See Replicates."""
        for learner, state in zip(self._learners, states, strict=True):
            learner.load(state)
        self.epoch = max(learner.epoch for learner in self._learners)
        behind = (i for i, each in enumerate(self._learners) if each.epoch < self.epoch and not each.diverged)
        for index in behind:
            self.end(index)

    def weights(self) -> list[Any]:
        """See Replicates."""
        return [None if learner.diverged else learner.weights() for learner in self._learners]
