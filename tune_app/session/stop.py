"""Stopping a run, or one of its trials, from another process."""

from __future__ import annotations

import time
from typing import Any

from tune_app.errors import RunError
from tune_app.status import Status
from tune_app.sweep import Sweep, control, find_sample


def request_stop(sweep: Sweep, trial: str | None, wait_s: float = 10.0) -> None:
    """Ask the process that trains a run to end, or to end one trial, and wait until it has read this.

    Raises:
        RunError: no process trains the run, the trial is not running, or the process does not answer.
    """
    request: dict[str, Any] = {"do": "stop"}
    if trial is not None:
        request["sample"] = sample = find_sample(sweep, trial)
        configuration = sweep.history.configurations[sample]
        status = sweep.history.status(configuration, sweep.space.replicate_numbers, live=True)
        if status != Status.RUNNING:
            raise RunError(f"{sweep.name}: configuration {sample} is {status}, so there is nothing to stop.")
    if not sweep.live():
        raise RunError(f"{sweep.name}: no process is training this run, so there is nothing to stop.")
    with sweep.rewriting():
        path = control.ask(sweep.paths.control, request)
    deadline = time.monotonic() + wait_s
    while path.exists():
        if time.monotonic() > deadline:
            raise RunError(
                f"{sweep.name}: the process that trains this run did not answer within {wait_s:g} s. "
                f"The request stays in {path}; remove that file to withdraw it."
            )
        time.sleep(0.05)
