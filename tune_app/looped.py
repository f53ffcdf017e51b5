"""Replicates of a Task, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tune_app.history import Config
from tune_app.replicates import Metrics, Outcome, Stopwatch
from tune_app.task import Task
from tune_app.train import DeviceSplits, Learner


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
        self.epoch = 0
        self.durations_s = [0.0] * len(self._learners)

    def step(self) -> list[Metrics]:
        """See Replicates."""
        found: list[Metrics] = []
        for index, learner in enumerate(self._learners):
            watch = Stopwatch()
            found.append(learner.step())
            self.durations_s[index] = watch.seconds()
        self.epoch += 1
        return found

    def diverged(self) -> list[int | None]:
        """See Replicates."""
        return [learner.epoch if learner.diverged else None for learner in self._learners]

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

    def weights(self) -> list[Any]:
        """See Replicates."""
        return [None if learner.diverged else learner.weights() for learner in self._learners]
