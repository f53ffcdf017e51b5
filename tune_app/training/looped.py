"""Replicates of a Task, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tune_app.sweep.trial_spec import TrialSpec
from tune_app.tasks.task import Task
from tune_app.training.learner import DeviceSplits, Learner
from tune_app.training.replicates import Metrics, Replicates, ReplicateTest, Stopwatch


class Looped(Replicates):
    """Replicates of a Task, trained one after the other in each epoch."""

    def __init__(self, spec: TrialSpec, task: Task, data: DeviceSplits) -> None:
        super().__init__(spec)
        self._learners = [Learner(spec, task, data, replicate) for replicate in spec.replicates]
        self._ended: dict[int, int] = {}

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

    def end(self, index: int) -> None:
        """See Replicates."""
        self._ended.setdefault(index, self._learners[index].epoch)

    def ended(self) -> list[int | None]:
        """See Replicates."""
        return [self._ended.get(index) for index in range(len(self._learners))]

    def evaluated(self) -> list[int]:
        """See Replicates."""
        return [learner.evaluated for learner in self._learners]

    def test(self) -> list[ReplicateTest | None]:
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
