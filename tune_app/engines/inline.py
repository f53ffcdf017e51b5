"""The same trials in this process, one at a time, without Ray: for tests, debuggers and Windows."""

from __future__ import annotations

from contextlib import closing
from functools import cache

from tune_app.driver.driver import Driver
from tune_app.tasks.task import Splits
from tune_app.training.protocol import Failure
from tune_app.training.trial import GuardedTrial, Worker


def run(driver: Driver, splits: Splits | None, device: str = "cpu") -> None:
    """Train all trials of a driver here. A trial that raises has failed; the sweep goes on."""
    worker = cache(lambda: Worker(splits, device))
    driver.begin()
    while (spec := driver.next_trial()) is not None:
        name = driver.start(spec, node="inline")
        with closing(GuardedTrial(spec, worker)) as trial:
            goes_on = True
            while goes_on:
                report = trial.step()
                if isinstance(report, Failure):
                    driver.fail(name, report)
                    break
                goes_on = driver.report(name, report, device)
                driver.tick()
