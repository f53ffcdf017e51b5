"""The same trials in this process, one at a time, without Ray: for tests, debuggers and Windows."""

from __future__ import annotations

from contextlib import closing
from functools import cache

from tune_app.driver.driver import Driver
from tune_app.tasks.task import Splits
from tune_app.training.guard import GuardedTrial
from tune_app.training.protocol import Failure
from tune_app.training.trial import Worker


def run(driver: Driver, splits: Splits | None, device: str = "cpu") -> None:
    """Train all jobs of a driver here. A trial that raises has failed; the sweep goes on."""
    worker = cache(lambda: Worker(splits, device))
    while (job := driver.next_job()) is not None:
        order = driver.order(job)
        name = driver.start(job, node="inline")
        with closing(GuardedTrial(order, worker)) as trial:
            going = True
            while going:
                report = trial.step()
                if isinstance(report, Failure):
                    driver.fail(name, report)
                    break
                going = driver.report(name, report, device)
                driver.tick()
