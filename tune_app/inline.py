"""The same trials in this process, one at a time, without Ray: for tests, debuggers and Windows."""

from __future__ import annotations

import traceback

from tune_app.driver import Driver
from tune_app.errors import describe
from tune_app.task import Splits
from tune_app.trial import Trial, Worker


def run(driver: Driver, splits: Splits | None, device: str = "cpu") -> None:
    """Train all jobs of a driver here. A trial that raises has failed; the sweep goes on."""
    worker = Worker(splits, device)
    while (job := driver.next_job()) is not None:
        name = driver.start(job, node="inline")
        try:
            trial = Trial(driver.order(job), worker)
            going = True
            while going:
                report = trial.step()
                going = driver.report(name, report, device)
                driver.tick()
        except Exception as error:
            if driver.fatal:
                raise
            driver.fail(name, describe(error), traceback.format_exc())
