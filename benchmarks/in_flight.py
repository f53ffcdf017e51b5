"""Trials in flight without an engine: the real driver and searcher, and a clock that only counts.

A sweep whose trials take made-up times, several at a time, is driven to its end in the time that its
suggestions take. What comes back from a trial is what a function of its configuration says.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_app.driver.driver import Driver
from tune_app.sweep.events import Values
from tune_app.sweep.trial_spec import TrialSpec
from tune_app.training.protocol import EpochReport, Failure, TestOutcome

#: Metrics after an epoch of one replicate; those whose names start with ``test_`` are kept for the end.
#: A value that is not finite is a divergence, an exception a failure.
Function = Callable[[Mapping[str, Any], int, int], Mapping[str, float]]


@dataclass
class Trial:
    """One trial under way: its epochs so far, and which replicates diverged when."""

    name: str
    spec: TrialSpec
    epoch: int
    diverged: dict[int, int] = field(default_factory=dict)

    def step(self, function: Function) -> EpochReport:
        """Train one epoch more."""
        self.epoch += 1
        found = [self._metrics(function, replicate) for replicate in self.spec.replicates]
        names = dict.fromkeys(name for each in found for name in each)
        values: Values = {name: [each.get(name) for each in found] for name in names}
        tests = {name: values.pop(name) for name in list(values) if name.startswith("test_")}
        done = self.epoch == self.spec.target or len(self.diverged) == len(found)
        evaluated = [self.epoch] * len(found)
        return EpochReport(
            self.epoch,
            values,
            [0.0] * len(found),
            dict(self.diverged),
            done=done,
            test=TestOutcome(tests, evaluated, b"", ()) if done and self.spec.tested else None,
        )

    def _metrics(self, function: Function, replicate: int) -> Mapping[str, float]:
        if replicate in self.diverged:
            return {}
        found = function(self.spec.config, replicate, self.epoch)
        if all(map(math.isfinite, found.values())):
            return found
        self.diverged[replicate] = self.epoch
        return {}


@dataclass
class Flight:
    """Drives a driver's jobs, ``lanes`` at a time.

    Args:
        function: the metrics of (configuration, replicate, epoch).
        time: how long an epoch of a sample takes; only the order of the reports follows from it.
    """

    driver: Driver
    function: Function
    lanes: int = 1
    time: Callable[[int], float] = lambda sample: 1.0

    def run(self, reports: int | None = None) -> None:
        """Go on until nothing is left, or until so many reports have come in, as if killed then."""
        under_way: list[tuple[float, int, Trial]] = []
        numbers = itertools.count()
        now, count = 0.0, 0

        def go_on(trial: Trial) -> None:
            heapq.heappush(under_way, (now + self.time(trial.spec.sample), next(numbers), trial))

        while True:
            while len(under_way) < self.lanes and (spec := self.driver.next_trial()):
                go_on(Trial(self.driver.start(spec, "here"), spec, spec.start.epoch if spec.start else 0))
            if not under_way or count == reports:
                return
            now, _, trial = heapq.heappop(under_way)
            count += 1
            if self._report(trial):
                go_on(trial)

    def _report(self, trial: Trial) -> bool:
        try:
            report = trial.step(self.function)
        except Exception as error:  # noqa: BLE001 - whatever a task raises is a failed trial
            self.driver.fail(trial.name, Failure.of(error))
            return False
        return self.driver.report(trial.name, report, "cpu")
